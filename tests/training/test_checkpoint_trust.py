"""Loading a checkpoint runs no code, and a damaged file is never replaced by something else without a word."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import get_cosine_schedule_with_warmup

from tiger_fg_hf.training.checkpoint import load_checkpoint, load_latest_checkpoint, save_checkpoint
from tiger_fg_hf.training.manifest import DamagedCheckpointError, write_manifest

GUARD = {"seed": 0, "num_processes": 1}
PICKLES = ("optimizer.bin", "random_states_0.pkl")


class Run:
    """A model, its optimizer, schedule and moving average after some steps."""

    def __init__(self):
        torch.manual_seed(0)
        self.accelerator = Accelerator(cpu=True)
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        self.schedule = get_cosine_schedule_with_warmup(optimizer, 2, 20)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

    @property
    def states(self) -> dict:
        return {"schedule": self.schedule, "average": self.average}

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.model(torch.rand(4, 3)).square().sum().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.average.update_parameters(self.model)
            self.schedule.step()

    def save(self, directory: Path, step: int) -> Path:
        return save_checkpoint(self.accelerator, directory, step, GUARD, keep=9, **self.states)

    def save_as_before(self, directory: Path, step: int) -> Path:
        """Save as the version before the manifest did: Accelerate pickles schedule and average."""
        folder = directory / f"step-{step:08d}"
        self.accelerator.register_for_checkpointing(self.schedule, self.average)
        self.accelerator.save_state(str(folder), safe_serialization=True)
        self.accelerator._custom_objects.clear()
        (folder / "trainer_state.json").write_text(json.dumps({"step": step, "guard": GUARD}, indent=2))
        return folder

    def load(self, folder: Path) -> int:
        return load_checkpoint(self.accelerator, folder, GUARD, **self.states)

    def load_latest(self, directory: Path) -> int | None:
        return load_latest_checkpoint(self.accelerator, directory, GUARD, **self.states)

    def values(self) -> list:
        moments = [self.optimizer.state[weight]["exp_avg_sq"] for weight in self.model.parameters()]
        tensors = [*self.model.state_dict().values(), *self.average.state_dict().values(), *moments]
        return [*(tensor.tolist() for tensor in tensors), self.schedule.state_dict(), np.random.rand()]


@pytest.fixture
def run(fresh_accelerate):
    run = Run()
    run.steps(3)
    return run


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def poison(path: Path, attack: Attack, *, raw: bool) -> None:
    if raw:
        path.write_bytes(pickle.dumps(attack))
    else:
        torch.save({"state": attack}, path)


@pytest.mark.parametrize("save", [Run.save, Run.save_as_before], ids=["manifest", "before"])
def test_everything_comes_back_bit_for_bit(run, tmp_path, save):
    folder = save(run, tmp_path, 3)
    run.steps(4)
    expected = run.values()
    run.steps(1)
    assert run.load(folder) == 3
    run.steps(4)
    assert run.values() == expected


def test_own_state_is_not_pickled(run, tmp_path):
    names = {path.name for path in run.save(tmp_path, 3).iterdir()}
    assert {"schedule.json", "average.safetensors", "manifest.json"} < names
    assert {name for name in names if name.endswith((".pkl", ".bin", ".pt"))} == set(PICKLES)


def test_a_checkpoint_of_before_is_loaded_with_a_notice(run, tmp_path, caplog):
    run.load(run.save_as_before(tmp_path, 3))
    assert "step-00000003' was saved by an earlier version of tiger_fg_hf, without a manifest" in caplog.text


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("name", ["custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl", "scaler.pt", *PICKLES])
def test_no_pickle_of_before_runs_code(run, tmp_path, name, raw):
    folder = run.save_as_before(tmp_path, 3)
    poison(folder / name, Attack(tmp_path / "ran"), raw=raw)
    with pytest.raises(ValueError, match=f"{name}' is {'damaged' if raw else 'refused'}"):
        run.load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["custom_checkpoint_0.pkl", "scaler.pt", *PICKLES])
def test_no_pickle_runs_code_though_the_manifest_lists_it(run, tmp_path, name):
    folder = run.save(tmp_path, 3)
    poison(folder / name, Attack(tmp_path / "ran"), raw=False)
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"{name}' is refused: it holds more than tensors"):
        run.load_latest(tmp_path)
    assert not (tmp_path / "ran").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FILES = (
    "average.safetensors",
    "manifest.json",
    "model.safetensors",
    "optimizer.bin",
    "random_states_0.pkl",
    "schedule.json",
    "trainer_state.json",
)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, tmp_path, caplog, name, damage):
    run.save(tmp_path, 3)
    expected = run.values()
    run.steps(1)
    newest = run.save(tmp_path, 4)
    assert sorted(path.name for path in newest.iterdir()) == list(FILES)
    damage(newest / name)
    assert run.load_latest(tmp_path) == 3
    assert run.values() == expected
    assert "step-00000004 cannot be used" in caplog.text
    assert name in caplog.text or damage is flip
    with pytest.raises(DamagedCheckpointError, match="step-00000004"):
        run.load(newest)


@pytest.mark.parametrize("damage", [Path.unlink, cut])
@pytest.mark.parametrize("name", ["custom_checkpoint_1.pkl", "model.safetensors", "trainer_state.json", *PICKLES])
def test_a_damaged_checkpoint_of_before_is_not_used(run, tmp_path, caplog, name, damage):
    run.save_as_before(tmp_path, 3)
    damage(run.save_as_before(tmp_path, 4) / name)
    assert run.load_latest(tmp_path) == 3
    # Without the file that marks it as complete, a checkpoint counts as half deleted.
    assert name in caplog.text or (name, damage) == ("trainer_state.json", Path.unlink)


def test_random_states_of_every_process_are_needed(run, tmp_path):
    guard = {"seed": 0, "num_processes": 2}
    folder = save_checkpoint(run.accelerator, tmp_path, 3, guard, keep=1, **run.states)
    with pytest.raises(DamagedCheckpointError, match=r"random_states_1.pkl' is missing"):
        load_checkpoint(run.accelerator, folder, guard, **run.states)


def test_random_states_that_were_not_restored_are_an_error(run, tmp_path, monkeypatch):
    """Accelerate logs that and goes on."""
    folder = run.save(tmp_path, 3)
    monkeypatch.setattr("torch.set_rng_state", lambda state: None)
    torch.rand(1)
    with pytest.raises(ValueError, match=r"random_states_0.pkl' does not restore the random states of torch"):
        run.load(folder)


def test_all_damaged_is_an_error_and_none_is_a_new_run(run, tmp_path):
    assert run.load_latest(tmp_path) is None
    for step in (3, 4):
        (run.save(tmp_path, step) / "optimizer.bin").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"All checkpoints .*00000004/optimizer.*00000003/optimizer"):
        run.load_latest(tmp_path)
