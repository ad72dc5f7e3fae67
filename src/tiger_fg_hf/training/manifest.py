"""Manifest of a folder: size and digest of each of its files, written last."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


class DamagedCheckpointError(ValueError):
    """A file of a checkpoint is missing, cut or changed."""


def write_manifest(folder: Path) -> None:
    """Flush every file of `folder` to the disk, then list all of them with size and SHA-256 in `manifest.json`.

    A manifest that can be read therefore means that the other files were written before a loss of power, too.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     _ = (folder / "weights").write_bytes(b"1234")
        ...     write_manifest(folder)
        ...     check_manifest(folder)
        ...     _ = (folder / "weights").write_bytes(b"123")
        ...     try:
        ...         check_manifest(folder)
        ...     except DamagedCheckpointError as error:
        ...         print(str(error).replace(name, "run"))
        'run/weights' is damaged: it has 3 bytes, 4 were written
    """
    files = {name: {"size": path.stat().st_size, "sha256": _digest(path)} for name, path in _files(folder).items()}
    for path in _files(folder).values():
        _flush(path)
    path = folder / MANIFEST
    path.write_text(json.dumps({"files": files}, indent=2) + "\n")
    _flush(path)
    flush_folder(folder)


def check_manifest(folder: Path) -> None:
    """Check that the files of `folder` are those that [`write_manifest`] listed, byte for byte.

    Hidden files, which file managers and network file systems leave behind, are ignored.

    Raises:
        DamagedCheckpointError: If a file is missing, changed or not listed; the message names it.
    """
    listed, found = _read(folder / MANIFEST), _files(folder)
    for name, entry in listed.items():
        if name not in found:
            raise DamagedCheckpointError(f"'{folder / name}' is missing")
        size = found[name].stat().st_size
        if size != entry["size"]:
            raise DamagedCheckpointError(
                f"'{found[name]}' is damaged: it has {size} bytes, {entry['size']} were written"
            )
        if _digest(found[name]) != entry["sha256"]:
            raise DamagedCheckpointError(f"'{found[name]}' is damaged: its content differs from what was written")
    for name in found.keys() - listed.keys():
        raise DamagedCheckpointError(f"'{found[name]}' is not part of the checkpoint: {MANIFEST} does not list it")


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, so that a new or renamed file survives a loss of power."""
    if os.name == "posix":  # Windows cannot open folders
        _flush(folder, os.O_RDONLY)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        files = json.loads(path.read_text())["files"]
        return {name: {"size": int(entry["size"]), "sha256": str(entry["sha256"])} for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"'{path}' is damaged: it is no manifest") from error


def _files(folder: Path) -> dict[str, Path]:
    """Return all files below `folder` but the manifest and hidden ones, by their path in it."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in paths.items() if name != MANIFEST and not path.name.startswith(".")}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path, flags: int = os.O_RDWR) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
