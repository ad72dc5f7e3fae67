"""Decode images from any source to an RGB `PIL.Image`, or say which image cannot be read and why."""

import importlib
import io
import re
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

MAX_IMAGE_PIXELS = 89_478_485
"""Default limit on width x height, checked before decoding: 256 MiB of RGB, where Pillow itself starts to warn."""

# A JPEG of up to this many times the limit is read at reduced scale. Decoding a progressive JPEG keeps coefficients of
# all pixels in memory, 3 to 6 bytes each.
_MAX_REDUCED, _MAX_REDUCED_PROGRESSIVE = 4, 2
# Pillow decodes these by running an external program (Ghostscript), which untrusted files must not reach.
_REFUSED_FORMATS = ("EPS",)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


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
        max_pixels: Largest accepted width x height. Pillow's own global limit applies to formats other than JPEG.

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
    """Decode an image like `load_rgb_image`, but read a JPEG beyond the limit at half, quarter or eighth scale.

    JPEGs can be decoded at these scales without holding all pixels in memory. The largest scale that fits `max_pixels`
    is used. Images within the limit are decoded exactly as by `load_rgb_image`.

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


def list_images(images: Any) -> list[Any]:
    """Return one image, a list of images or a batch array as a list of images."""
    if isinstance(images, np.ndarray | torch.Tensor):
        return list(images) if images.ndim == 4 else [images]
    one = isinstance(images, str | bytes | bytearray | memoryview) or not isinstance(images, Sequence)
    return [images] if one else list(images)


def _load(image: Any, name: str, max_pixels: int, *, reduce: bool, convert: bool) -> LoadedImage:
    name = image_name(image, name)
    try:
        if isinstance(image, Image.Image):
            return _decode(image, max_pixels, reduce=False, convert=convert)
        if isinstance(image, np.ndarray | torch.Tensor):
            return _decode(_from_array(image), max_pixels, reduce=False, convert=convert)
        with _open_file(image) as file, _open_image(file) as opened:
            return _decode(opened, max_pixels, reduce=reduce, convert=convert)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} cannot be read: not an image in a format that Pillow can read; convert it to JPEG or PNG"
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
    if isinstance(image, str) and _URL.match(image):
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


def _open_image(file: BinaryIO) -> Image.Image:
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\xff\xd8\xff"):
        # `Image.open` calls this too, but then warns about large images or refuses them before they can be reduced.
        try:
            return JpegImagePlugin.jpeg_factory(file)
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            raise UnidentifiedImageError(str(error)) from error
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        brand = head[8:12] if head[4:8] == b"ftyp" else b""
        if brand in _AVIF_BRANDS:
            raise ValueError("this version of Pillow cannot read AVIF; install pillow>=11.3 or convert it") from None
        if brand not in _HEIF_BRANDS:
            raise
    _register_heif()
    file.seek(0)
    return Image.open(file)


def _register_heif() -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise ValueError(
            "it is a HEIC image; install Pillow's plug-in (pip install pillow-heif) or convert it to JPEG"
        ) from None


def _decode(image: Image.Image, max_pixels: int, *, reduce: bool, convert: bool) -> LoadedImage:
    width, height = full_size = image.size
    if width == 0 or height == 0:
        raise ValueError(f"its size is zero ({width}x{height} pixels)")
    if width * height > max_pixels and not (reduce and _reduce(image, max_pixels)):
        raise ValueError(
            f"its size of {width}x{height} pixels exceeds the limit of {max_pixels} pixels; scale it down first"
        )
    if image.format in _REFUSED_FORMATS:
        raise ValueError(f"the {image.format} format is not supported")
    image.load()
    orientation = _orientation(image)
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    if orientation in (5, 6, 7, 8):
        full_size = (height, width)
    if not convert and image.mode != "RGB":
        raise ValueError(f"its mode is {image.mode}, not RGB, and do_convert_rgb=False converts nothing")
    return LoadedImage(_to_rgb(image), full_size)


def _reduce(image: Image.Image, max_pixels: int) -> bool:
    """Set a JPEG that is not yet decoded to the largest scale within the limit; return whether there is one."""
    limit = max_pixels * (_MAX_REDUCED_PROGRESSIVE if image.info.get("progressive") else _MAX_REDUCED)
    if image.format not in ("JPEG", "MPO") or image.width * image.height > limit:
        return False
    width, height = image.size
    for divisor in (2, 4, 8):
        if -(-width // divisor) * -(-height // divisor) <= max_pixels:
            image.draft(None, (width // divisor, height // divisor))
            return image.width * image.height <= max_pixels
    return False


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image.getchannel("A"))
        return background
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # unreadable EXIF does not make the pixels unreadable
        return 1


def _to_8_bit(gray: np.ndarray) -> np.ndarray:
    """Scale grayscale values `[H, W]` of a 16-bit, 32-bit or float image to uint8."""
    low, high = float(gray.min()), float(gray.max())
    # 16-bit files always span 0..65535; for wider types, the brightest pixel determines the range.
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
