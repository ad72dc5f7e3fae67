"""Checkpoints of a run: written whole or not at all, the last few kept, found again by their step."""

import json
import re
import shutil
from pathlib import Path

from accelerate import Accelerator

_STATE = "trainer_state.json"
_NAME = re.compile(r"step-(\d+)")


def checkpoint_steps(directory: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints in `directory` as (step, folder), oldest first."""
    found = []
    for folder in directory.glob("step-*"):
        name = _NAME.fullmatch(folder.name)
        if name and (folder / _STATE).is_file():
            found.append((int(name[1]), folder))
    return sorted(found)


def save_checkpoint(accelerator: Accelerator, directory: Path, step: int, state: dict, *, keep: int) -> Path:
    """
    Saves model, optimizer, schedule and random states after `step` optimizer steps; keeps the last `keep` up to it.

    Everything goes to a folder of another name first, which is renamed when it is whole: a run that dies while saving
    leaves nothing that [`checkpoint_steps`] would take for a checkpoint.
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
        (partial / _STATE).write_text(json.dumps({"step": step, **state}, indent=2))
        if final.exists():
            _remove(final)
        partial.rename(final)
        # A run resumed at an earlier step than its last finds later checkpoints here; they must not cost it its own.
        for _, folder in [found for found in checkpoint_steps(directory) if found[0] <= step][:-keep]:
            _remove(folder)
    accelerator.wait_for_everyone()
    return final


def _remove(folder: Path) -> None:
    # What marks it as complete goes first: a run that dies here must not leave half a checkpoint behind.
    (folder / _STATE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def load_checkpoint(accelerator: Accelerator, folder: Path, expected: dict) -> int:
    """
    Restores what [`save_checkpoint`] saved and returns its step.

    Raises:
        ValueError: the checkpoint belongs to a run whose data order or schedule differ from `expected`.
        FileNotFoundError: `folder` is no complete checkpoint.
    """
    path = folder / _STATE
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' is no complete checkpoint: it has no {_STATE}.")
    state = json.loads(path.read_text())
    differing = {key: (state.get(key), value) for key, value in expected.items() if state.get(key) != value}
    if differing:
        told = ", ".join(f"{key}: {saved!r} there, {now!r} now" for key, (saved, now) in differing.items())
        raise ValueError(f"'{folder}' cannot be resumed exactly with these arguments ({told}).")
    accelerator.load_state(str(folder))
    return state["step"]
