"""Image files as part of a catalog's identity: they can change while the catalog's text stays the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

_ROWS_AT_ONCE = 1000


def image_path(image: Any) -> str | None:
    """Return the path that an image is read from, or None if it is held in memory.

    Example:
        >>> image_path({"bytes": None, "path": "photos/mug.jpg"})
        'photos/mug.jpg'
        >>> image_path({"bytes": b"...", "path": "mug.jpg"}) is None
        True
    """
    if isinstance(image, Mapping):
        image = image.get("path") if image.get("bytes") is None else None
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


def file_identity(path: str | None, *, hash_content: bool = False) -> str:
    """Identify the content of an image file.

    Args:
        path: The file, or None for an image that is not read from one.
        hash_content: Read the file and hash it. Otherwise the identity is path, size and modification time.

    Returns:
        A string that changes with the file; `""` for None.
    """
    if path is None:
        return ""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or device may never end
            return f"{path} is not a file"
        if hash_content:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return f"{path} is missing"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def image_paths(dataset: datasets.Dataset, column: str, rows: range) -> Iterator[str | None]:
    """Yield the path of each row's image; reads no image if all are embedded in the dataset."""
    if column not in dataset.column_names:
        yield from (None for _ in rows)
        return
    dataset = dataset.select_columns([column])
    is_image = isinstance(dataset.features[column], datasets.Image)
    if is_image and dataset.flatten().data.column(f"{column}.bytes").null_count == 0:
        yield from (None for _ in rows)
        return
    for start in range(rows.start, rows.stop, _ROWS_AT_ONCE):
        yield from map(image_path, dataset[start : min(start + _ROWS_AT_ONCE, rows.stop)][column])
