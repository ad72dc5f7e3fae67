"""State that Accelerate does not keep for a run: its schedule as JSON, its moving average as safetensors."""

import json
import random
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from accelerate.utils import load
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from .manifest import DamagedCheckpointError

_SCHEDULE = "schedule.json"
_AVERAGE = "average.safetensors"
# Names under which Accelerate pickled schedule and average for earlier versions of this package.
_PICKLED_SCHEDULE = "custom_checkpoint_0.pkl"
_PICKLED_AVERAGE = "custom_checkpoint_1.pkl"


def save_run_state(folder: Path, schedule: LRScheduler | None, average: nn.Module | None) -> None:
    """Write schedule and moving average to `folder`."""
    if schedule is not None:
        (folder / _SCHEDULE).write_text(json.dumps(schedule.state_dict(), indent=2))
    if average is not None:
        save_model(average, str(folder / _AVERAGE))


def load_run_state(folder: Path, schedule: LRScheduler | None, average: nn.Module | None) -> None:
    """Restore schedule and moving average from `folder`, also from one that an earlier version wrote."""
    pickled = is_pickled(folder)
    if schedule is not None:
        schedule.load_state_dict(
            read_tensors(folder / _PICKLED_SCHEDULE) if pickled else json.loads((folder / _SCHEDULE).read_text())
        )
    if average is not None and pickled:
        average.load_state_dict(read_tensors(folder / _PICKLED_AVERAGE))
    elif average is not None:
        load_model(average, folder / _AVERAGE)


def is_pickled(folder: Path) -> bool:
    """Whether an earlier version wrote the checkpoint: Accelerate pickled its schedule, and there is no manifest."""
    return (folder / _PICKLED_SCHEDULE).is_file()


def run_state_files(folder: Path, schedule: LRScheduler | None, average: nn.Module | None) -> list[str]:
    """Name the files that [`load_run_state`] reads."""
    names = (_PICKLED_SCHEDULE, _PICKLED_AVERAGE) if is_pickled(folder) else (_SCHEDULE, _AVERAGE)
    return [name for name, state in zip(names, (schedule, average), strict=True) if state is not None]


@contextmanager
def without_pickled_state(folder: Path) -> Iterator[Path]:
    """Provide `folder` without the state that Accelerate would load with `weights_only=False`, through links."""
    if not is_pickled(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        for path in folder.iterdir():
            if not path.name.startswith("custom_checkpoint_"):
                Path(name, path.name).symlink_to(path.resolve())
        yield Path(name)


def read_tensors(path: Path) -> Any:
    """Read a file of `torch.save` that holds only tensors, arrays and plain values.

    Raises:
        DamagedCheckpointError: If the file is missing or cut.
        ValueError: If the file holds anything else, which could run code.
    """
    if not path.is_file():
        raise DamagedCheckpointError(f"'{path}' is missing")
    if not zipfile.is_zipfile(path):
        raise DamagedCheckpointError(f"'{path}' is damaged: it is not a complete file of torch.save")
    try:
        # Mapped to memory, because a check need not read every weight.
        return load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise ValueError(
            f"'{path}' is refused: it holds more than tensors, arrays and plain values, and reading it could run code."
        ) from error
    except RuntimeError as error:
        raise DamagedCheckpointError(f"'{path}' is damaged: {str(error).partition(chr(10))[0]}") from error


def check_readable(folder: Path, names: Iterable[str]) -> None:
    """Check that files of a checkpoint are there, are complete, and can be read without running code.

    Raises:
        DamagedCheckpointError: If a file is missing or cut.
        ValueError: If a file holds anything but tensors, arrays and plain values.
    """
    for name in names:
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpointError(f"'{path}' is missing")
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="pt"):
                    pass
            except SafetensorError as error:
                raise DamagedCheckpointError(f"'{path}' is damaged: {error}") from error
        elif path.suffix != ".json":
            read_tensors(path)


def check_random_states(path: Path) -> None:
    """Check that the generators of this process are in the states that `path` holds.

    Accelerate only logs that it could not restore them, and the run would then end in other weights.

    Raises:
        ValueError: If they are not.
    """
    states = read_tensors(path)
    name, keys, *rest = np.random.get_state()
    saved_name, saved_keys, *saved_rest = states["numpy_random_seed"]
    restored = {
        "python": random.getstate() == states["random_state"],
        "numpy": (name, rest) == (saved_name, saved_rest) and np.array_equal(keys, saved_keys),
        "torch": torch.equal(torch.get_rng_state(), states["torch_manual_seed"]),
    }
    if torch.cuda.is_available() and "torch_cuda_manual_seed" in states:
        current, saved = torch.cuda.get_rng_state_all(), states["torch_cuda_manual_seed"]
        restored["cuda"] = len(current) == len(saved) and all(map(torch.equal, current, saved))
    missing = [name for name, is_restored in restored.items() if not is_restored]
    if missing:
        raise ValueError(f"'{path}' does not restore the random states of {', '.join(missing)} on this machine.")
