"""Open image files of an allow-list of formats, whatever else Pillow or its plug-ins can read."""

import importlib
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from .jpeg_scans_tiger_fg import open_checked_jpeg

IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Formats, by Pillow's names, whose decoders run no other program and decode the size that the header declares.

EPS, for example, runs Ghostscript, and IPTC, ICNS and ICO wrap a picture of another size or format.
"""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_lock = threading.Lock()
_strict_users, _saved_flag = 0, False


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image file; decodes nothing yet.

    Unlike `Image.open`, this ignores Pillow's process-wide limit on pixels, which only warns up to twice its value and
    would refuse a JPEG before it can be reduced. The caller checks the size.

    Raises:
        UnidentifiedImageError: If the file is in none of `IMAGE_FORMATS`.
        ValueError: If a plug-in is missing, or a JPEG lacks scans; see `open_checked_jpeg`.
    """
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\xff\xd8\xff"):
        try:
            return JpegImagePlugin.JpegImageFile(open_checked_jpeg(file))
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            raise UnidentifiedImageError(str(error)) from error
    Image.init()
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    opened = _open_with_plugins(file, head)
    if opened is None and brand in _AVIF_BRANDS:
        raise ValueError("this version of Pillow cannot read AVIF; install pillow>=11.3 or convert it")
    if opened is None and brand in _HEIF_BRANDS:
        _register_heif()
        opened = _open_with_plugins(file, head)
    if opened is None:
        raise UnidentifiedImageError
    return opened


def check_format(image: Image.Image) -> None:
    """Refuse an opened image of another format.

    Raises:
        ValueError: If the image was read from a file in none of `IMAGE_FORMATS`.
    """
    if image.format is not None and image.format not in IMAGE_FORMATS:
        raise ValueError(f"the {image.format} format is not supported")


@contextmanager
def refusing_truncated_files() -> Iterator[None]:
    """Ignore `ImageFile.LOAD_TRUNCATED_IMAGES`, which any library in the process may have set, for a while."""
    global _strict_users, _saved_flag
    with _lock:
        if _strict_users == 0:
            _saved_flag, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        _strict_users += 1
    try:
        yield
    finally:
        with _lock:
            _strict_users -= 1
            if _strict_users == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = _saved_flag


def _open_with_plugins(file: BinaryIO, head: bytes) -> Image.Image | None:
    for name in IMAGE_FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        # A plug-in answers with a text if its library is missing.
        if factory is None or (accepts is not None and accepts(head) is not True):
            continue
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # what `Image.open` takes for another format
            continue
    return None


def _register_heif() -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise ValueError(
            "it is a HEIC image; install Pillow's plug-in (pip install pillow-heif) or convert it to JPEG"
        ) from None
