"""Decoding: turns whatever holds an image into an RGB `PIL.Image`, or says which image cannot be read and why."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_IMAGE_PIXELS = 89_478_485
"""Default limit on width x height, checked before decoding: 256 MiB of RGB, where Pillow itself starts to warn."""

# Pillow decodes these by running an outside program (Ghostscript), which untrusted files must not reach.
_REFUSED_FORMATS = ("EPS",)


def load_rgb_image(image: Any, *, name: str = "image", max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """
    Decode an image to upright, opaque, 8-bit RGB.

    The EXIF orientation is applied; transparency is composited on white; palette, CMYK, 1-bit, 16-bit and float images
    are converted, with grayscale deeper than 8 bits scaled from its full range (1, 255 or 65535, the smallest that
    holds its brightest pixel) rather than clipped. Of an animated or multi-page file the first frame is used.

    Args:
        image: A `PIL.Image` (taken at its current frame), a path (`str` or `Path`), the encoded `bytes`, a
            `{"bytes": ..., "path": ...}` dict as `datasets.Image(decode=False)` returns, or a numpy array or torch
            tensor `[H, W]`, `[H, W, C]` or `[C, H, W]` with 1, 3 or 4 channels, of uint8 or of floats in [0, 1].
            Where both layouts fit, numpy arrays are read as `[H, W, C]` and tensors as `[C, H, W]`.
        name: What error messages call the image, such as `"images[3]"`.
        max_pixels: Largest accepted width x height. Pillow's own global limit applies as well.

    Returns:
        A `PIL.Image` in mode `"RGB"`. It is `image` itself if that already is one that needs no change.

    Raises:
        ValueError: If the image is missing, truncated, of zero size, too large, of an unknown format, or an array of
            an unsupported shape, type or range. The message starts with `name`.
    """
    try:
        if isinstance(image, Image.Image):
            return _to_rgb(image, max_pixels)
        if isinstance(image, np.ndarray | torch.Tensor):
            return _to_rgb(_from_array(image), max_pixels)
        with Image.open(_open_source(image)) as opened:
            return _to_rgb(opened, max_pixels)
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} cannot be read: not an image in a format that Pillow can read") from error
    except Exception as error:  # broken files make decoders raise nearly anything: OSError, SyntaxError, struct.error
        raise ValueError(f"{name} cannot be read: {str(error) or type(error).__name__}") from error


def _open_source(image: Any) -> io.BytesIO | Path:
    """Return what `Image.open` takes: a path, or the encoded bytes as a file."""
    if isinstance(image, Mapping):
        image = image.get("bytes") if image.get("bytes") is not None else image.get("path")
        if image is None:
            raise ValueError("the dict has neither 'bytes' nor 'path'")
    if isinstance(image, bytes | bytearray | memoryview):
        if len(image) == 0:
            raise ValueError("it is empty (0 bytes)")
        return io.BytesIO(image)
    if isinstance(image, str | Path):
        return Path(image)
    raise ValueError(
        "expected a PIL image, a path, bytes, a dict with 'bytes' or 'path', a numpy array or a torch tensor, "
        f"got {type(image).__name__}"
    )


def _to_rgb(image: Image.Image, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width == 0 or height == 0:
        raise ValueError(f"its size is zero ({width}x{height} pixels)")
    if width * height > max_pixels:
        raise ValueError(f"its size of {width}x{height} pixels exceeds the limit of {max_pixels} pixels")
    if image.format in _REFUSED_FORMATS:
        raise ValueError(f"the {image.format} format is not supported")
    image.load()
    image = _upright(image)
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image.getchannel("A"))
        return background
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # unreadable EXIF says nothing about the pixels, which are fine
        return image
    return image if orientation == 1 else ImageOps.exif_transpose(image)


def _to_8_bit(gray: np.ndarray) -> np.ndarray:
    """Scale grayscale values `[H, W]` of a 16-bit, 32-bit or float image to uint8."""
    low, high = float(gray.min()), float(gray.max())
    # 16-bit files always span 0..65535; wider types only hold some range, found from the brightest pixel.
    ranges = (65535,) if gray.dtype.itemsize == 2 else (255, 65535) if gray.dtype.kind == "i" else (1, 255, 65535)
    full_scale = next((scale for scale in ranges if high <= scale), None)
    if full_scale is None or not low >= 0:
        raise ValueError(f"its grayscale values span {low:g} to {high:g}, outside 0 to 65535")
    return (gray.astype(np.float64) * (255 / full_scale) + 0.5).astype(np.uint8)


def _from_array(array: np.ndarray | torch.Tensor) -> Image.Image:
    """Make an 8-bit image of an array `[H, W]`, `[H, W, C]` or `[C, H, W]`."""
    shape, channel_axes = tuple(array.shape), (-1, 0)
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()  # numpy has no bfloat16
        channel_axes = (0, -1)
    axis = next((axis for axis in channel_axes if array.ndim == 3 and shape[axis] in (1, 3, 4)), None)
    if array.ndim != 2 and axis is None:
        raise ValueError(f"expected an array [H, W], [H, W, C] or [C, H, W] with C of 1, 3 or 4, got shape {shape}")
    if array.size == 0:
        raise ValueError(f"its size is zero (array of shape {shape})")
    if axis is not None:
        array = np.moveaxis(array, axis, -1)
        array = array[..., 0] if array.shape[-1] == 1 else array
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"float values must lie in [0, 1], got [{low:g}, {high:g}]; pass 0 to 255 as uint8")
        array = (array * 255 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"expected uint8 or float values, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))
