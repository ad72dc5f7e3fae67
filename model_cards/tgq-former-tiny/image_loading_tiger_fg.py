"""Decode images from any source to an RGB `PIL.Image`, or say which image cannot be read and why."""

import io
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .decoded_size_tiger_fg import MAX_DECODED_BYTES, MAX_FULL_SCALE_BYTES, decoded_bytes, pixel_bytes
from .image_formats_tiger_fg import IMAGE_FORMATS, check_format, open_image, refusing_truncated_files

MAX_IMAGE_PIXELS = 89_478_485
"""Default limit on width x height, checked before decoding: 256 MiB of RGB, at 8 bits per channel."""

# A JPEG of up to this many times the limit is read at reduced scale. Decoding a progressive JPEG keeps coefficients of
# all pixels in memory, 3 to 6 bytes each.
_MAX_REDUCED, _MAX_REDUCED_PROGRESSIVE = 4, 2
# Rows that are converted at a time, so that no second picture of floats or with an alpha channel is made.
_ROWS_AT_ONCE = 256
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class LoadedImage(NamedTuple):
    """A decoded image, and its upright (width, height) before reduction, to which boxes refer."""

    image: Image.Image
    full_size: tuple[int, int]


def load_rgb_image(image: Any, *, name: str = "image", max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Decode an image to upright, opaque, 8-bit RGB.

    Applies the EXIF orientation, composites transparency on white, and converts palette, CMYK, 1-bit, 16-bit and float
    images. Grayscale deeper than 8 bits is scaled from its full range, not clipped: 65535 for 16-bit images, otherwise
    1 (floats only), 255 or 65535, whichever is the smallest that holds the brightest pixel. An animated or multi-page
    file yields its first frame.

    Args:
        image: A `PIL.Image` (taken at its current frame), a path (`str` or `Path`), the encoded `bytes`, a
            `{"bytes": ..., "path": ...}` dict as `datasets.Image(decode=False)` returns, or a numpy array or torch
            tensor `[H, W]`, `[H, W, C]` or `[C, H, W]` with 1, 3 or 4 channels, of uint8 or of floats in [0, 1].
            Where both layouts fit, numpy arrays are read as `[H, W, C]` and tensors as `[C, H, W]`.
        name: The image's name in error messages, such as `"images[3]"`; its path is added.
        max_pixels: Largest accepted width x height. Besides, decoding may take up to `MAX_DECODED_BYTES`. Pillow's own
            process-wide limit on pixels and `LOAD_TRUNCATED_IMAGES` do not count.

    Returns:
        A `PIL.Image` in mode `"RGB"`. This is `image` itself if it needs no change.

    Raises:
        ValueError: If the image is missing, truncated, of zero size, too large, of an unknown format, a URL, or an
            array of an unsupported shape, type or range. The message starts with `name`.

    Example:
        >>> load_rgb_image(np.zeros((4, 6), dtype=np.uint8)).size
        (6, 4)
    """
    return _load(image, name, max_pixels, reduce=False, convert=True).image


def load_reduced_rgb_image(
    image: Any, *, name: str = "image", max_pixels: int = MAX_IMAGE_PIXELS, convert: bool = True
) -> LoadedImage:
    """Decode an image like `load_rgb_image`, but read a large JPEG at half, quarter or eighth scale.

    JPEGs can be decoded at these scales without holding all pixels in memory. The largest scale that fits `max_pixels`
    and takes no more than `MAX_FULL_SCALE_BYTES` is used: an upright baseline JPEG of up to 50 megapixels, and a
    turned one of up to 25, is decoded exactly as by `load_rgb_image`.

    Args:
        image: See `load_rgb_image`. Only paths and encoded bytes can be reduced.
        name: See `load_rgb_image`.
        max_pixels: Largest width x height after reduction. JPEGs of more than 4 times as many pixels (2 times if
            progressive) are refused.
        convert: Whether to convert other modes to RGB. With `False` they are refused.

    Returns:
        The image, and its upright size before reduction. Scale boxes by `image.width / full_size[0]`.

    Raises:
        ValueError: See `load_rgb_image`.
    """
    return _load(image, name, max_pixels, reduce=True, convert=convert)


def image_name(image: Any, name: str) -> str:
    """Add the path or URL of an image, if it has one, to its name in messages.

    Example:
        >>> image_name({"bytes": None, "path": "mug.jpg"}, "images[3]")
        "images[3] ('mug.jpg')"
    """
    path = image.get("path") if isinstance(image, Mapping) else image
    if not isinstance(path, str | Path) or not str(path):
        return name
    text = str(path)
    return f"{name} ({text if len(text) <= 300 else text[:300] + '…'!r})"


def is_url(text: str) -> bool:
    """Return whether a text is a URL of any kind, of which none is opened.

    Example:
        >>> is_url("https://shop.example/mug.jpg"), is_url("photos/mug.jpg")
        (True, False)
    """
    return bool(_URL.match(text))


def upright_size(image: Any, *, name: str = "image") -> tuple[int, int]:
    """Return (width, height) in pixels of an image after EXIF rotation; reads only the header of most files.

    Args:
        image: A `PIL.Image`, a path, encoded bytes, or a `{"bytes", "path"}` dict.
        name: The image's name in error messages.

    Raises:
        ValueError: If the image cannot be opened; the message starts with `name`.

    Example:
        >>> upright_size(Image.new("RGB", (6, 4)))
        (6, 4)
    """
    with _naming(image_name(image, name)), refusing_truncated_files():
        if isinstance(image, Image.Image):
            return _upright_size(image)
        with _open_file(image) as file, open_image(file) as opened:
            return _upright_size(opened)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    if image.format == "PNG":  # its orientation may come after the pixels
        return _decode(image, MAX_IMAGE_PIXELS, reduce=False, convert=True).full_size
    return (image.height, image.width) if _orientation(image) >= 5 else image.size


def list_images(images: Any) -> list[Any]:
    """Return one image, a list of images or a batch array as a list of images."""
    if isinstance(images, np.ndarray | torch.Tensor):
        return list(images) if images.ndim == 4 else [images]
    one = isinstance(images, str | bytes | bytearray | memoryview) or not isinstance(images, Sequence)
    return [images] if one else list(images)


def _load(image: Any, name: str, max_pixels: int, *, reduce: bool, convert: bool) -> LoadedImage:
    with _naming(image_name(image, name)), refusing_truncated_files():
        if isinstance(image, Image.Image):
            return _decode(image, max_pixels, reduce=False, convert=convert)
        if isinstance(image, np.ndarray | torch.Tensor):
            return _decode(_from_array(image), max_pixels, reduce=False, convert=convert)
        with _open_file(image) as file, open_image(file) as opened:
            return _decode(opened, max_pixels, reduce=reduce, convert=convert)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turn every error into a `ValueError` that starts with the image's name."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} cannot be read: not an image in a supported format ({', '.join(IMAGE_FORMATS)}); "
            "convert it to JPEG or PNG"
        ) from error
    except Exception as error:  # broken files make decoders raise nearly anything: OSError, SyntaxError, struct.error
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise ValueError(f"{name} cannot be read: {reason}") from error


def _open_file(image: Any) -> BinaryIO:
    """Open a path or encoded bytes as a file."""
    if isinstance(image, Mapping):
        image = image.get("bytes") if image.get("bytes") is not None else image.get("path")
        if image is None:
            raise ValueError("the dict has neither 'bytes' nor 'path'")
    if isinstance(image, bytes | bytearray | memoryview):
        if len(image) == 0:
            raise ValueError("it is empty (0 bytes)")
        return io.BytesIO(image)
    if isinstance(image, str) and is_url(image):
        raise ValueError("it is a URL; download it first and pass the path of the file")
    if isinstance(image, str | Path):
        path = Path(image)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise ValueError(f"it is {kind}, not a file")
        if status.st_size == 0:
            raise ValueError("it is empty (0 bytes)")
        return path.open("rb")
    raise ValueError(
        "expected a PIL image, a path, bytes, a dict with 'bytes' or 'path', a numpy array or a torch tensor, "
        f"got {type(image).__name__}"
    )


def _decode(image: Image.Image, max_pixels: int, *, reduce: bool, convert: bool) -> LoadedImage:
    check_format(image)
    width, height = full_size = image.size
    if width == 0 or height == 0:
        raise ValueError(f"its size is zero ({width}x{height} pixels)")
    # A PNG may hold its orientation after the pixels: to ask for it is to decode them.
    transposed = image.format != "PNG" and _orientation(image) != 1
    if reduce:
        _reduce(image, max_pixels, transposed)
    if image.width * image.height > max_pixels:
        raise ValueError(
            f"its size of {width}x{height} pixels exceeds the limit of {max_pixels} pixels; scale it down first"
        )
    _check_budget(image, full_size, transposed)
    declared = image.size
    image.load()
    if image.size != declared:
        raise ValueError(f"its header declares {declared} pixels (width, height), and its data {image.size}")
    orientation = _orientation(image)
    if orientation != 1:
        _check_budget(image, full_size, transposed=True)
        image = ImageOps.exif_transpose(image)
    if orientation in (5, 6, 7, 8):
        full_size = (height, width)
    if not convert and image.mode != "RGB":
        raise ValueError(f"its mode is {image.mode}, not RGB, and do_convert_rgb=False converts nothing")
    return LoadedImage(_to_rgb(image), full_size)


def _check_budget(image: Image.Image, full_size: tuple[int, int], transposed: bool) -> None:
    if image.format is None:  # an image that was not read from a file is decoded already
        return
    needed = decoded_bytes(image, full_size, transposed=transposed)
    if needed > MAX_DECODED_BYTES:
        raise ValueError(
            f"decoding it ({image.format} of {full_size[0]}x{full_size[1]} pixels, mode {image.mode}) takes about "
            f"{needed >> 20} MiB, and the limit is {MAX_DECODED_BYTES >> 20} MiB; scale it down first"
        )


def _reduce(image: Image.Image, max_pixels: int, transposed: bool) -> None:
    """Set a JPEG that is not yet decoded to the largest scale within the limits, if full scale is not."""
    width, height = image.size
    limit = max_pixels * (_MAX_REDUCED_PROGRESSIVE if image.info.get("progressive") else _MAX_REDUCED)
    if image.format not in ("JPEG", "MPO") or width * height > limit:
        return
    needed = decoded_bytes(image, image.size, transposed=transposed)
    if width * height <= max_pixels and needed <= MAX_FULL_SCALE_BYTES:
        return
    for divisor in (2, 4, 8):
        size = (-(-width // divisor), -(-height // divisor))
        needed = pixel_bytes(image, size, transposed=transposed)
        if size[0] * size[1] <= max_pixels and needed <= MAX_FULL_SCALE_BYTES:
            image.draft(None, (width // divisor, height // divisor))
            return


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _gray_to_rgb(image)
    if image.has_transparency_data:
        background = Image.new("RGB", image.size, "white")
        for box in _bands(image):
            band = image.crop(box).convert("RGBA")
            background.paste(band, box, mask=band.getchannel("A"))
        return background
    return image if image.mode == "RGB" else image.convert("RGB")


def _bands(image: Image.Image) -> list[tuple[int, int, int, int]]:
    """Return the boxes of bands of rows that cover an image."""
    tops = range(0, image.height, _ROWS_AT_ONCE)
    return [(0, top, image.width, min(top + _ROWS_AT_ONCE, image.height)) for top in tops]


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # unreadable EXIF does not make the pixels unreadable
        return 1


def _gray_to_rgb(image: Image.Image) -> Image.Image:
    """Scale a 16-bit, 32-bit or float grayscale image to 8 bits."""
    extremes = [(gray.min(), gray.max()) for gray in (np.asarray(image.crop(box)) for box in _bands(image))]
    low, high = float(np.min(extremes)), float(np.max(extremes))
    kind = extremes[0][0].dtype
    # 16-bit files always span 0..65535; for wider types, the brightest pixel determines the range.
    ranges = (65535,) if kind.itemsize == 2 else (255, 65535) if kind.kind == "i" else (1, 255, 65535)
    full_scale = next((scale for scale in ranges if high <= scale), None)
    if full_scale is None or not low >= 0:
        raise ValueError(f"its grayscale values span {low:g} to {high:g}, outside 0 to 65535")
    result = Image.new("RGB", image.size)
    for box in _bands(image):
        gray = np.asarray(image.crop(box)).astype(np.float64) * (255 / full_scale) + 0.5
        result.paste(Image.fromarray(gray.astype(np.uint8)).convert("RGB"), box)
    return result


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
