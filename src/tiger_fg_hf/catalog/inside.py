"""Keep the image paths of a catalog inside its folder: a catalog from elsewhere must not name other files."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def is_inside(path: str, folder: Path) -> bool:
    """Return whether a path lies in a folder after all symbolic links are followed.

    Args:
        path: The path, absolute or relative to the working directory; it need not exist.
        folder: The folder, resolved.

    Example:
        >>> is_inside("/catalog/photos/mug.jpg", Path("/catalog")), is_inside("/catalog/../mug.jpg", Path("/catalog"))
        (True, False)
    """
    parent, name = os.path.split(path)
    # One lookup per folder instead of one per part of every path.
    real = os.path.join(_real_folder(parent), name)
    if name in ("", ".", "..") or os.path.islink(real):
        real = os.path.realpath(path)
    return Path(real).is_relative_to(folder)


def check_inside(path: str, folder: Path) -> None:
    """Raise an error if an image path leaves the catalog's folder.

    Raises:
        ValueError: If it does; the message names both.
    """
    if not is_inside(path, folder):
        raise ValueError(
            f"catalog: the image path {path!r} lies outside the catalog's folder {str(folder)!r}; "
            "pass allow_outside=True (--allow_outside) to read such files"
        )


@lru_cache(maxsize=10_000)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
