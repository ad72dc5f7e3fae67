"""Checkpoints of a run: complete or absent, only the last few kept, and ordered by step."""

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from .disk import explain_full_disk
from .manifest import MANIFEST, DamagedCheckpointError, check_manifest, flush_folder, write_manifest
from .resume import guard_differences
from .run_state import (
    check_random_states,
    check_readable,
    is_pickled,
    load_run_state,
    run_state_files,
    save_run_state,
    without_pickled_state,
)

logger = logging.getLogger(__name__)

_STATE = "trainer_state.json"
_NAME = re.compile(r"step-(\d+)")


def checkpoint_steps(directory: Path) -> list[tuple[int, Path]]:
    """List the complete checkpoints in `directory` as (step, folder), oldest first."""
    checkpoints = []
    for folder in directory.glob("step-*"):
        name = _NAME.fullmatch(folder.name)
        # Either file will do, so that a checkpoint that has lost the other one is reported and not overlooked.
        if name and ((folder / _STATE).is_file() or (folder / MANIFEST).is_file()):
            checkpoints.append((int(name[1]), folder))
    return sorted(checkpoints)


def save_checkpoint(
    accelerator: Accelerator,
    directory: Path,
    step: int,
    guard: Mapping[str, Any],
    *,
    keep: int,
    schedule: LRScheduler | None = None,
    average: nn.Module | None = None,
) -> Path:
    """Save model, optimizer, schedule, moving average and random states after `step` optimizer steps.

    Everything is written to a hidden folder that is renamed once it is complete, so a run that dies while saving
    leaves nothing that [`checkpoint_steps`] would list. The manifest, with size and digest of all other files, comes
    last.

    Args:
        accelerator: The accelerator of the run.
        directory: Folder of the run's checkpoints.
        step: Optimizer steps done.
        guard: What must be equal when the run is resumed, by name; values are JSON.
        keep: Number of checkpoints to keep, counting back from this one.
        schedule: Schedule of the learning rate.
        average: Moving average of the weights.

    Returns:
        The folder of the checkpoint.

    Raises:
        OSError: If the disk is full; earlier checkpoints stay as they are.
    """
    final = directory / f"step-{step:08d}"
    partial = directory / f".partial-{final.name}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    try:
        with explain_full_disk(directory, f"the checkpoint of step {step}"):
            accelerator.save_state(str(partial), safe_serialization=True)
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                save_run_state(partial, schedule, average)
                (partial / _STATE).write_text(json.dumps({"step": step, "guard": dict(guard)}, indent=2))
                write_manifest(partial)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # gives the space back
        raise
    if accelerator.is_main_process:
        if final.exists():
            _remove(final)
        partial.rename(final)
        flush_folder(directory)
        # A run resumed from an early step finds later checkpoints here: they must not displace its own.
        for _, folder in [entry for entry in checkpoint_steps(directory) if entry[0] <= step][:-keep]:
            _remove(folder)
    accelerator.wait_for_everyone()
    return final


def _remove(folder: Path) -> None:
    # The files that mark a checkpoint as complete go first, in case the run dies here.
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / _STATE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def load_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    guard: Mapping[str, Any],
    *,
    schedule: LRScheduler | None = None,
    average: nn.Module | None = None,
) -> int:
    """Restore what [`save_checkpoint`] saved, without running code that the files might hold.

    A checkpoint of an earlier version, which has no manifest, is loaded with a warning: what is missing or cut is an
    error there, too, but changed bytes go unnoticed.

    Args:
        accelerator: The accelerator of the run, with everything prepared.
        folder: Folder of the checkpoint.
        guard: What must be equal to the guard saved with the checkpoint.
        schedule: Schedule to restore.
        average: Moving average to restore.

    Returns:
        The number of optimizer steps done.

    Raises:
        FileNotFoundError: If `folder` is not a complete checkpoint.
        DamagedCheckpointError: If a file is missing, cut or changed; the message names it.
        ValueError: If a file holds anything but tensors and plain values, the guards differ (every difference is
            named), or the checkpoint is of an earlier version of this package, which recorded less.
    """
    # Decided on one process, so that all of them go on with the same checkpoint.
    outcome: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            outcome[0] = _check(folder, guard, run_state_files(folder, schedule, average))
        except (OSError, ValueError) as error:
            outcome[0] = error
    broadcast_object_list(outcome)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    with without_pickled_state(folder) as safe:
        accelerator.load_state(str(safe))
    load_run_state(folder, schedule, average)
    check_random_states(folder / f"random_states_{accelerator.process_index}.pkl")
    return outcome[0]


def load_latest_checkpoint(
    accelerator: Accelerator,
    directory: Path,
    guard: Mapping[str, Any],
    *,
    schedule: LRScheduler | None = None,
    average: nn.Module | None = None,
) -> int | None:
    """Restore the latest checkpoint in `directory` that is not damaged, and warn about those that are.

    Arguments and errors are those of [`load_checkpoint`].

    Returns:
        The number of optimizer steps done, or None if there is no checkpoint.

    Raises:
        DamagedCheckpointError: If there are checkpoints, and all are damaged.
    """
    faults = []
    for _, folder in reversed(checkpoint_steps(directory)):
        try:
            return load_checkpoint(accelerator, folder, guard, schedule=schedule, average=average)
        except DamagedCheckpointError as error:
            faults.append(str(error))
            if accelerator.is_main_process:
                logger.warning("Checkpoint %s cannot be used: %s. Trying the one before it.", folder.name, error)
    if faults:
        raise DamagedCheckpointError(f"All checkpoints in '{directory}' are damaged: {'; '.join(faults)}.")
    return None


def _check(folder: Path, guard: Mapping[str, Any], run_state: list[str]) -> int:
    """Check that a checkpoint is whole, safe to read and of this run; return its step."""
    path = folder / _STATE
    has_manifest = (folder / MANIFEST).is_file()
    if has_manifest:
        check_manifest(folder)
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' is not a complete checkpoint: it has no {_STATE}.")
    try:
        state = json.loads(path.read_text())
    except ValueError as error:
        raise DamagedCheckpointError(f"'{path}' is damaged: {error}") from error
    if not isinstance(state, dict) or not isinstance(state.get("guard"), dict):
        raise ValueError(
            f"'{folder}' was saved by an earlier version of tiger_fg_hf, which did not record all arguments, so the "
            "run cannot be resumed exactly. Start a new run in another --output_dir."
        )
    differences = guard_differences(state["guard"], guard)
    if differences:
        raise ValueError(f"'{folder}' cannot be resumed exactly with these arguments ({', '.join(differences)}).")
    if not has_manifest and not is_pickled(folder):
        raise DamagedCheckpointError(f"'{folder / MANIFEST}' is missing")
    processes = range(state["guard"].get("num_processes", 1))
    names = ["model.safetensors", "optimizer.bin", *run_state, *(f"random_states_{rank}.pkl" for rank in processes)]
    # Whichever other files there are, such as the scaler of float16, Accelerate may read them as well.
    others = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".bin", ".pt", ".pkl"))
    check_readable(folder, dict.fromkeys([*names, *others]))
    if not has_manifest:
        logger.warning(
            "'%s' was saved by an earlier version of tiger_fg_hf, without a manifest: its files can be read, but "
            "changed bytes in them would go unnoticed.",
            folder,
        )
    return state["step"]
