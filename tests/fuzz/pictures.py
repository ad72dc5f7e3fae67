"""Broken pictures: seeded mutations of the originals, and pictures made by hand to cost time, memory or reach."""

import io
import os
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

ORIGINALS = {path.name: path.read_bytes() for path in sorted(Path(__file__).with_name("originals").iterdir())}
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-")
_ENDS = (b"\xff\xd9", b"\x00\x00\x00\x00IEND\xaeB`\x82", b"\x3b")
_EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def mutated_picture(seed: int, number: int) -> bytes:
    """Return the picture of a number: an original with one to eight mutations."""
    rng = random.Random(f"picture {seed} {number}")
    data = bytearray(rng.choice(list(ORIGINALS.values())))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        rng.choice(_MUTATIONS)(rng, data)
    return bytes(data)


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 8, 32))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data) + 1)
    data[start : start + 8] = rng.randbytes(rng.randrange(1, 9))


def _set_number(rng: random.Random, data: bytearray) -> None:
    """Put an extreme number where sizes and offsets may stand, which is mostly near the start."""
    start = rng.randrange(min(len(data), 200) + 1)
    order, width = rng.choice("<>"), rng.choice((2, 4))
    number = rng.choice(_EXTREMES) & (0xFFFF if width == 2 else 0xFFFFFFFF)
    data[start : start + width] = struct.pack(f"{order}{'H' if width == 2 else 'I'}", number)


def _delete(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 4, 64))]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start, size = rng.randrange(len(data) + 1), rng.choice((1, 16, 256))
    data[start:start] = data[start : start + size] * rng.choice((1, 2, 20))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]
    data += rng.choice((b"", *_ENDS))


def _splice(rng: random.Random, data: bytearray) -> None:
    """Continue with the rest of another original."""
    other = rng.choice(list(ORIGINALS.values()))
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other)) :]


_MUTATIONS = (_flip, _flip, _overwrite, _set_number, _delete, _repeat, _cut, _splice)


def zeros(count: int) -> bytes:
    """Return a zlib stream of many zero bytes, in no time."""
    size = 1 << 20
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    repeated = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, wbits=-15)
    whole = max(count // size, 1)
    tail = rest.compress(bytes(max(count - whole * size, 0))) + rest.flush()
    return first + repeated * (whole - 1) + tail + struct.pack(">I", (count % 65521) << 16 | 1)


def png(side: int, depth: int = 8, color: int = 2, extra: bytes = b"", data: bytes | None = None) -> bytes:
    """Return a black square PNG; `color` is 0 for gray, 2 for RGB, 6 for RGBA."""
    channels = {0: 1, 2: 3, 6: 4}[color]
    if data is None:
        data = zeros(side * (1 + side * channels * depth // 8))
    header = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def float_tiff(side: int) -> bytes:
    """Return a black square TIFF of 32-bit floats."""
    data = zeros(side * side * 4)
    entries = ((256, side), (257, side), (258, 32), (259, 8), (262, 1), (273, 8), (277, 1), (278, side))
    entries += ((279, len(data)), (339, 3))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + directory + bytes(4)


def webp(side: int) -> bytes:
    """Return a lossless WebP of one color, 36 bytes long whatever its size."""
    codes = sum(0b0001 << 4 * position for position in range(5)) << 3
    bits = (side - 1) | (side - 1) << 14 | codes << 32
    data = b"\x2f" + bits.to_bytes(15, "little")
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def iptc(inner: bytes) -> bytes:
    """Return an IPTC file that says it has 16 x 16 pixels and wraps a file of any format."""

    def field(tag: tuple[int, int], data: bytes) -> bytes:
        return bytes((0x1C, *tag, 132, 0)) + struct.pack(">I", len(data)) + data

    sides = field((3, 20), b"\x00\x10") + field((3, 30), b"\x00\x10")
    return field((3, 60), b"\x01\x00") + sides + field((3, 120), b"\x05") + field((8, 10), inner)


def icon(inner: bytes) -> bytes:
    """Return an ICO file that says it has 16 x 16 pixels and wraps a PNG."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def jpeg_of_many_scans(scans: int, side: int = 3000) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 90).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xc4")  # the Huffman table of the last scan
    return data[:last] + data[last:-2] * scans + data[-2:]


def cut_jpeg() -> bytes:
    """Return half a JPEG that is closed by an end marker."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2] + b"\xff\xd9"


def _eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n"


def _pipe() -> str:
    path = Path(_FOLDER.name, "pipe.png")
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return str(path)


def _gif(side: int) -> bytes:
    data = ORIGINALS["animated.gif"]
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


HANDMADE: dict[str, Callable[[], Any]] = {
    **{name: (lambda data=data: data) for name, data in ORIGINALS.items()},
    "empty": lambda: b"",
    "no_picture": lambda: b"<html>not found</html>",
    "png_13000": lambda: png(13_000),
    "png_rgba_9400": lambda: png(9_400, color=6),
    "png_16_bit_9400": lambda: png(9_400, depth=16),
    "png_gray_16_bit_9400": lambda: png(9_400, depth=16, color=0),
    "png_without_data": lambda: png(9_000, data=zlib.compress(b"")),
    "png_text_bomb": lambda: png(8, extra=_chunk(b"zTXt", b"note\0\0" + zeros(500 << 20))),
    "png_profile_bomb": lambda: png(8, extra=_chunk(b"iCCP", b"note\0\0" + zeros(500 << 20))),
    "float_tiff_9400": lambda: float_tiff(9_400),
    "webp_9400": lambda: webp(9_400),
    "webp_16383": lambda: webp(16_383),
    "gif_9400": lambda: _gif(9_400),
    "gif_65535": lambda: _gif(65_535),
    "eps": _eps,
    "iptc_around_eps": lambda: iptc(_eps()),
    "iptc_around_png_13000": lambda: iptc(png(13_000)),
    "icon_around_png_13000": lambda: icon(png(13_000)),
    "jpeg_of_3000_scans": lambda: jpeg_of_many_scans(3_000),
    "cut_jpeg": cut_jpeg,
    "url": lambda: "http://127.0.0.1:9/picture.png",
    "url_in_dict": lambda: {"bytes": None, "path": "http://127.0.0.1:9/picture.png"},
    "file_url": lambda: "file:///etc/hostname",
    "base64": lambda: "data:image/png;base64,iVBORw0KGgo=",
    "pipe": _pipe,
    "device": lambda: "/dev/zero",
    "folder": lambda: tempfile.gettempdir(),
    "missing": lambda: "/nowhere/picture.png",
    "none_in_dict": lambda: {"bytes": None, "path": None},
    "number": lambda: 7,
}
"""Pictures made by hand, by name. `originals` are among them: they must be read."""


def picture(seed: int, name: str) -> Any:
    """Return the picture of a case: a number, or the name of a handmade one."""
    return mutated_picture(seed, int(name)) if name.isdigit() else HANDMADE[name]()
