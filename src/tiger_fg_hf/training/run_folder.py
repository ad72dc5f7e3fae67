"""What a run folder tells of its run: `run.json`, its sessions, and `history.jsonl`, its log."""

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

_RUN = "run.json"
_HISTORY = "history.jsonl"
_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "tiger_fg_hf")


def record_session(folder: Path, facts: Mapping[str, Any], *, resumed: bool) -> None:
    """
    Writes `run.json`: `{"sessions": [...]}`, one entry for each time the run was started, this one's being the last.

    Args:
        facts: what is worth knowing of this session beside its start time, versions, platform and code revision.
        resumed: whether earlier sessions are of the same run; they are dropped otherwise.
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
    """Type of a device, and the name of the GPU where it is one."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def code_revision(package: Path) -> dict[str, Any] | None:
    """
    Commit of the git checkout that a package's code belongs to, and whether its tracked files differ from it.

    Returns:
        `{"revision": 40 hexadecimal digits, "dirty": bool}`, or None where the code is in no checkout: a package that
        is installed somewhere below one is not of it.
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
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return None


class History:
    """
    Log entries of a run, each a mapping with its `step`, in memory and a line each in `history.jsonl`.

    Args:
        folder: of the run; made if need be.
        step: step at which the run goes on. Entries beyond it are dropped: they are made anew.
    """

    def __init__(self, folder: Path, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / _HISTORY
        lines = self.path.read_text().splitlines(keepends=True) if self.path.is_file() and step else []
        # A run that is killed while it writes leaves part of a line.
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        self.entries: list[dict[str, float]] = [entry for entry in found if entry["step"] <= step]
        _write_whole(self.path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def append(self, entry: dict[str, float]) -> None:
        self.entries.append(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _write_whole(path: Path, text: str) -> None:
    """A process that dies while writing leaves the file as it was."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)
