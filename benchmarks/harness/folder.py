"""Folder of a run or of a benchmark's data: the settings that it belongs to, and whether it is finished."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETTINGS, RESULT = "settings.json", "result.json"


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """
    Marks a folder as that of a run with these settings.

    Raises:
        ValueError: it is that of a run with other settings; what differs is named.
    """
    path = folder / SETTINGS
    if path.is_file():
        differing = setting_differences(folder, settings)
        if differing:
            raise ValueError(
                f"'{folder}' holds a run with other settings ({'; '.join(differing)}). Choose another --output, or "
                "delete the folder to run it anew."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(settings, indent=2))


def setting_differences(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """What of a run's settings is not as in `settings`."""
    return _differences(json.loads((folder / SETTINGS).read_text()), json.loads(json.dumps(settings)))


def is_finished(folder: Path) -> bool:
    return (folder / RESULT).is_file()


def _differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        # An argument that one of them lacks is one that the other version of this script had not.
        return [
            told
            for name in dict.fromkeys((*found, *wanted))
            for told in _differences(
                found.get(name, _ABSENT), wanted.get(name, _ABSENT), f"{path}.{name}" if path else name
            )
        ]
    return [] if found == wanted else [f"{path}: {found!r} there, {wanted!r} now"]


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def write_whole(path: Path, text: str) -> None:
    """A process that dies while writing leaves no half of a file."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(text)
    os.replace(partial, path)
