"""Folders of runs and of benchmark data: the settings they belong to, and whether they are finished."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SETTINGS, RESULT = "settings.json", "result.json"


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Record the settings that a folder belongs to.

    Raises:
        ValueError: if the folder belongs to other settings; the message lists the differences.
    """
    path = folder / SETTINGS
    if path.is_file():
        differing = setting_differences(folder, settings)
        if differing:
            raise ValueError(
                f"'{folder}' holds a run with other settings ({'; '.join(differing)}). Choose another --output, or "
                "delete the folder to run it again."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(settings, indent=2))


def setting_differences(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Compare the recorded settings of a folder with `settings`; one line per difference."""
    return _differences(json.loads((folder / SETTINGS).read_text()), json.loads(json.dumps(settings)))


def is_finished(folder: Path) -> bool:
    """Return whether a run has saved its result."""
    return (folder / RESULT).is_file()


def write_file(path: Path, text: str) -> None:
    """Write a file atomically: a process that dies leaves no partial file."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(text)
    os.replace(partial, path)


def write_folder(folder: Path, write: Callable[[Path], Any]) -> None:
    """Write a folder atomically unless it exists; `write` gets the path to fill."""
    if folder.is_dir():
        return
    partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
    write(partial)
    if folder.is_dir():  # another process was faster
        shutil.rmtree(partial)
    else:
        partial.rename(folder)


def _differences(recorded: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        # A missing name means that the other version of the code did not have that argument.
        return [
            line
            for name in dict.fromkeys((*recorded, *wanted))
            for line in _differences(
                recorded.get(name, _MISSING), wanted.get(name, _MISSING), f"{path}.{name}" if path else name
            )
        ]
    return [] if recorded == wanted else [f"{path}: {recorded!r} there, {wanted!r} now"]


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()
