"""What a run folder records: `run.json`, the sessions of the run, and `history.jsonl`, its log."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .disk import explain_full_disk

_RUN = "run.json"
_HISTORY = "history.jsonl"
_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "tiger_fg_hf")


def record_session(folder: Path, facts: Mapping[str, Any], *, resumed: bool) -> None:
    """Add this session to `run.json`, `{"sessions": [...]}` with an entry for each time the run was started.

    Args:
        folder: Folder of the run.
        facts: What to record in addition to start time, versions, platform and code revision.
        resumed: Whether earlier sessions belong to the same run; otherwise they are dropped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _RUN
    sessions = json.loads(path.read_text())["sessions"] if resumed and path.is_file() else []
    sessions.append(
        {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
            "platform": platform.platform(),
            "code": code_revision(Path(__file__).parents[1]),
            **facts,
        }
    )
    _write_whole(path, json.dumps({"sessions": sessions}, indent=2) + "\n")


def describe_device(device: torch.device) -> str:
    """Name a device by its type and, for a GPU, its model."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def code_revision(package: Path) -> dict[str, Any] | None:
    """Find the commit of the git checkout that a package's code belongs to.

    Returns:
        `{"revision": 40 hexadecimal digits, "dirty": whether tracked files differ}`, or None if the code is not part
        of a checkout. A package that is merely installed somewhere inside a checkout is not part of it.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {
            "revision": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None


class History:
    """Log entries of a run, each a mapping with its `step`, kept in memory and as lines of `history.jsonl`.

    Args:
        folder: Folder of the run, created if needed.
        step: Step from which the run continues. Entries beyond it are dropped, as the run writes them again.
    """

    def __init__(self, folder: Path, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / _HISTORY
        lines = self.path.read_text().splitlines(keepends=True) if self.path.is_file() and step else []
        # A run that is killed while writing leaves part of a line.
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        self.entries: list[dict[str, float]] = [entry for entry in entries if entry["step"] <= step]
        _write_whole(self.path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def append(self, entry: dict[str, float]) -> None:
        """Add an entry, in memory and to the file."""
        self.entries.append(entry)
        with explain_full_disk(self.path.parent, self.path.name), self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _write_whole(path: Path, text: str) -> None:
    """Write a file through a temporary one, so that a process that dies while writing leaves it as it was."""
    partial = path.with_name(f".{path.name}.partial")
    with explain_full_disk(path.parent, path.name):
        partial.write_text(text)
        os.replace(partial, path)
