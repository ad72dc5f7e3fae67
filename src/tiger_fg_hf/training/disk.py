"""Errors of a full disk, with the folder and the remedy."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

# What torch says when a write fails, for whatever cause. With less free space than this, in bytes, the disk is full.
_TORCH_ERRORS = ("PytorchStreamWriter failed", "file write failed", "unexpected pos", "iostream error")
_ALMOST_FULL = 16 * 2**20


@contextmanager
def explain_full_disk(folder: Path, what: str) -> Iterator[None]:
    """Name the folder and what was being written if the disk is full.

    Args:
        folder: Folder that is written to.
        what: What is written, for the message.

    Raises:
        OSError: With `errno.ENOSPC`, if an error within the block comes from a full disk or an exhausted quota.

    Example:
        >>> with explain_full_disk(Path("runs/mine"), "the log"):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        OSError: [Errno 28] The disk is full: the log could not be written. Free space and continue with --resume \
auto: 'runs/mine'
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_full(error, folder):
            raise
        message = f"The disk is full: {what} could not be written. Free space and continue with --resume auto"
        raise OSError(errno.ENOSPC, message, str(folder)) from error


def _is_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors turns the operating system's error into text.
    if any(f"os error {code}" in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
        return True
    return any(text in str(error) for text in _TORCH_ERRORS) and shutil.disk_usage(folder).free < _ALMOST_FULL
