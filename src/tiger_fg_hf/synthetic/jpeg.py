"""JPEG compression, as cameras and shops apply it."""

from __future__ import annotations

import io

from PIL import Image


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode an image as JPEG at a quality from 1 to 100."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def compress_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return an RGB image as it looks after JPEG compression at a quality from 1 to 100."""
    with Image.open(io.BytesIO(encode_jpeg(image, quality)), formats=("JPEG",)) as compressed:
        return compressed.convert("RGB")
