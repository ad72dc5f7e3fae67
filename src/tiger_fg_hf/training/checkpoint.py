"""Checkpoints of a run: complete or absent, only the last few kept, and ordered by step."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from .resume import guard_differences

_STATE = "trainer_state.json"
_NAME = re.compile(r"step-(\d+)")


def checkpoint_steps(directory: Path) -> list[tuple[int, Path]]:
    """List the complete checkpoints in `directory` as (step, folder), oldest first."""
    checkpoints = []
    for folder in directory.glob("step-*"):
        name = _NAME.fullmatch(folder.name)
        if name and (folder / _STATE).is_file():
            checkpoints.append((int(name[1]), folder))
    return sorted(checkpoints)


def save_checkpoint(
    accelerator: Accelerator, directory: Path, step: int, guard: Mapping[str, Any], *, keep: int
) -> Path:
    """Save model, optimizer, schedule and random states after `step` optimizer steps.

    Everything is written to a hidden folder that is renamed once it is complete, so a run that dies while saving
    leaves nothing that [`checkpoint_steps`] would list.

    Args:
        accelerator: The accelerator of the run.
        directory: Folder of the run's checkpoints.
        step: Optimizer steps done.
        guard: What must be equal when the run is resumed, by name; values are JSON.
        keep: Number of checkpoints to keep, counting back from this one.

    Returns:
        The folder of the checkpoint.
    """
    final = directory / f"step-{step:08d}"
    partial = directory / f".partial-{final.name}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / _STATE).write_text(json.dumps({"step": step, "guard": dict(guard)}, indent=2))
        if final.exists():
            _remove(final)
        partial.rename(final)
        # A run resumed from an early step finds later checkpoints here: they must not displace its own.
        for _, folder in [entry for entry in checkpoint_steps(directory) if entry[0] <= step][:-keep]:
            _remove(folder)
    accelerator.wait_for_everyone()
    return final


def _remove(folder: Path) -> None:
    # The file that marks a checkpoint as complete goes first, in case the run dies here.
    (folder / _STATE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def load_checkpoint(accelerator: Accelerator, folder: Path, guard: Mapping[str, Any]) -> int:
    """Restore what [`save_checkpoint`] saved.

    Args:
        accelerator: The accelerator of the run, with everything prepared and registered.
        folder: Folder of the checkpoint.
        guard: What must be equal to the guard saved with the checkpoint.

    Returns:
        The number of optimizer steps done.

    Raises:
        FileNotFoundError: If `folder` is not a complete checkpoint.
        ValueError: If the guards differ (every difference is named), or the checkpoint is of an earlier version of
            this package, which recorded less.
    """
    path = folder / _STATE
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' is not a complete checkpoint: it has no {_STATE}.")
    state = json.loads(path.read_text())
    if not isinstance(state.get("guard"), dict):
        raise ValueError(
            f"'{folder}' was saved by an earlier version of tiger_fg_hf, which did not record all arguments, so the "
            "run cannot be resumed exactly. Start a new run in another --output_dir."
        )
    differences = guard_differences(state["guard"], guard)
    if differences:
        raise ValueError(f"'{folder}' cannot be resumed exactly with these arguments ({', '.join(differences)}).")
    accelerator.load_state(str(folder))
    return state["step"]
