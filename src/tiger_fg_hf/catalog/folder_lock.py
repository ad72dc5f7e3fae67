"""One writer per folder: a second one is refused before it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for writing. The operating system releases it when the process ends, however it ends.

    The empty file `.lock` stays in the folder, because a waiting writer may have opened it.

    Raises:
        BlockingIOError: If another process or thread holds the folder.
    """
    lock = FileLock(folder / LOCK, is_singleton=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"{folder} is in use: another process or thread is writing to it; wait for it to end or use another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
