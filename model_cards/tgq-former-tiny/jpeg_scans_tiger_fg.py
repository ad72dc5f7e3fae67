"""Check that the scans of a JPEG file are whole: libjpeg decodes missing data as gray without an error."""

import io
import re
import struct
from typing import BinaryIO, cast

MAX_SCANS = 100
"""Most scans in one JPEG. Encoders write about ten; each one costs a pass over the whole picture."""

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Markers without a length: restarts, start of image, and one for temporary use.
_BARE = {0x01, 0xD8, *range(0xD0, 0xD8)}
# The end of a scan: in its data, FF is followed by 00, or by a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_CHUNK = 1 << 16
# libjpeg reads up to 64 bits ahead.
_LOOKAHEAD = bytes(8)


def open_checked_jpeg(file: BinaryIO) -> BinaryIO:
    """Check the scans of a JPEG file, and return the file to decode.

    A picture with a single scan is returned without its end marker. libjpeg then stops where data are missing, and
    Pillow reports the file as truncated, instead of filling the rest with gray. The pixels of a whole picture do not
    change. A picture with several scans must define every coefficient of every component to full precision; data that
    are missing inside its last scan go unnoticed.

    Args:
        file: A JPEG file at its start.

    Raises:
        ValueError: If there are more than `MAX_SCANS` scans, or scans are missing.
    """
    frame, components, num_scans = None, 0, 0
    bits: dict[tuple[int, int], int] = {}  # (component, coefficient) -> bits that are still missing
    file.seek(2)
    while (marker := _next_marker(file)) not in (None, _END_OF_IMAGE):
        if marker in _BARE:
            continue
        head = file.read(2)
        length = struct.unpack(">H", head)[0] - 2 if len(head) == 2 else 0
        if marker in _FRAMES and frame is None:
            frame, segment = marker, file.read(length)
            components = segment[5] if len(segment) > 5 else 0
        elif marker == _START_OF_SCAN:
            num_scans += 1
            if num_scans > MAX_SCANS:
                raise ValueError(f"it is a JPEG with more than {MAX_SCANS} scans; save it again to read it")
            segment = file.read(length)
            end = _end_of_scan(file)
            if len(segment) < 4 or end is None:
                break  # the decoder reports it as truncated
            if num_scans == 1 and segment[0] == components and frame in (_BASELINE, _EXTENDED):
                file.seek(0)
                return cast(BinaryIO, _FilePart(file, end))
            first, last, low = (*segment[-3:-1], segment[-1] & 15) if frame == _PROGRESSIVE else (0, 63, 0)
            ids = segment[1 : 1 + 2 * segment[0] : 2]
            bits |= {(each, number): low for each in ids for number in range(first, min(last, 63) + 1)}
        else:
            file.seek(length, io.SEEK_CUR)
    if num_scans and marker == _END_OF_IMAGE and (len(bits) < 64 * components or any(bits.values())):
        raise ValueError("it is truncated: it is a JPEG whose last scans are missing")
    file.seek(0)
    return file


def _next_marker(file: BinaryIO) -> int | None:
    """Skip to the next marker and past it; return its code, or None at the end of the file."""
    start = file.tell()
    while chunk := file.read(_CHUNK):
        if found := re.search(rb"\xff[^\x00\xff]", chunk, re.DOTALL):
            file.seek(start + found.end())
            return chunk[found.end() - 1]
        if len(chunk) == 1:
            return None
        start += len(chunk) - 1  # a marker may lie across two chunks
        file.seek(start)
    return None


def _end_of_scan(file: BinaryIO) -> int | None:
    """Move to the marker that ends the data of a scan and return its position, or None without one."""
    start = file.tell()
    while len(chunk := file.read(_CHUNK)) > 1:
        if found := _MARKER.search(chunk):
            file.seek(start + found.start())
            return start + found.start()
        start += len(chunk) - 1
        file.seek(start)
    return None


class _FilePart(io.RawIOBase):
    """The first `end` bytes of a file, and what libjpeg reads ahead."""

    def __init__(self, file: BinaryIO, end: int):
        self._file, self._end, self._place = file, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._end + len(_LOOKAHEAD)}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        stop = self._end + len(_LOOKAHEAD) if size < 0 else self._place + size
        self._file.seek(self._place)
        data = self._file.read(max(min(stop, self._end) - self._place, 0))
        ahead = max(self._place - self._end, 0)
        data += _LOOKAHEAD[ahead : max(stop - self._end, 0)]
        self._place += len(data)
        return data
