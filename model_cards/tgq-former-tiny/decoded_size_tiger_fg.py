"""Estimate the memory that decoding an image takes, from its header."""

from PIL import Image

MAX_DECODED_BYTES = 768 * 2**20
"""Most memory that decoding one file may take: enough for 89 megapixels with an alpha channel, or of floats."""

MAX_FULL_SCALE_BYTES = 192 * 2**20
"""A JPEG that would take more is read at reduced scale where that is possible: 50 megapixels."""

# Bytes per pixel as Pillow keeps them; modes of several channels take 4.
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# Bytes per pixel that decoders keep besides (measured): canvases, planes, copies.
_DECODER_BYTES = {"AVIF": 6, "HEIF": 4, "JPEG2000": 12, "WEBP": 12}
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def decoded_bytes(image: Image.Image, full_size: tuple[int, int], *, transposed: bool) -> int:
    """Estimate the peak memory in bytes of decoding an opened image to upright RGB.

    Only the first frame of an animated or multi-page file is decoded, so that others do not count.

    Args:
        image: The image, not yet decoded, at the scale at which it will be.
        full_size: Its (width, height) before reduction.
        transposed: Whether its EXIF orientation turns or mirrors it, which takes a copy.

    Example:
        >>> decoded_bytes(Image.new("RGB", (100, 50)), (100, 50), transposed=False)
        20000
        >>> decoded_bytes(Image.new("RGBA", (100, 50)), (100, 50), transposed=False)  # the image and its RGB copy
        40000
    """
    return (
        pixel_bytes(image, image.size, transposed=transposed)
        + _coefficient_bytes(image, full_size)
        + _tile_bytes(image)
    )


def pixel_bytes(image: Image.Image, size: tuple[int, int], *, transposed: bool) -> int:
    """Estimate the part of [`decoded_bytes`] that depends on the (width, height) at which the image is decoded."""
    copies = 4 * transposed + (4 if image.mode != "RGB" else 0)
    return size[0] * size[1] * (_MODE_BYTES.get(image.mode, 4) + copies + _DECODER_BYTES.get(image.format or "", 0))


def _coefficient_bytes(image: Image.Image, full_size: tuple[int, int]) -> int:
    """Bytes of the coefficients of all components, 2 each, which a progressive JPEG keeps at any scale."""
    if image.format not in ("JPEG", "MPO") or not image.info.get("progressive"):
        return 0
    # Each layer is (id, horizontal sampling, vertical sampling, table).
    layers = [(layer[1], layer[2]) for layer in getattr(image, "layer", ())]
    most = max((x for x, _ in layers), default=1) * max((y for _, y in layers), default=1)
    return 2 * full_size[0] * full_size[1] * sum(x * y for x, y in layers) // max(most, 1)


def _tile_bytes(image: Image.Image) -> int:
    """Bytes of one tile of a TIFF, which may be larger than the image."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    width, length = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    return 4 * width * length if isinstance(width, int) and isinstance(length, int) else 0
