"""Checkpoints: complete or absent, only the last few kept, and refused if they do not fit."""

import json
import shutil

import pytest
import torch
from accelerate import Accelerator

from tiger_fg_hf.training.checkpoint import checkpoint_steps, load_checkpoint, save_checkpoint
from tiger_fg_hf.training.manifest import DamagedCheckpointError

GUARD = {"seed": 0, "rows": 9}


@pytest.fixture
def run(fresh_accelerate):
    """An accelerator with a model and an optimizer that have taken a step."""
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    return accelerator, model, optimizer


def die(*args, **options):
    raise KeyboardInterrupt


def steps(directory) -> list[int]:
    return [step for step, _ in checkpoint_steps(directory)]


def test_round_trip(run, tmp_path):
    accelerator, model, optimizer = run
    folder = save_checkpoint(accelerator, tmp_path, 4, GUARD, keep=2)
    assert checkpoint_steps(tmp_path) == [(4, folder)]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    moment = optimizer.state[model.weight]["exp_avg"].clone()
    expected = torch.rand(3)  # drawn after the checkpoint
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    assert load_checkpoint(accelerator, folder, GUARD) == 4
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(optimizer.state[model.weight]["exp_avg"], moment)
    assert torch.equal(torch.rand(3), expected)
    assert not [path for path in folder.rglob("*") if path.name.startswith("pytorch_model")]  # safetensors, no pickle


def test_only_the_last_few_are_kept(run, tmp_path):
    for step in (2, 4, 10, 100_000_000):
        save_checkpoint(run[0], tmp_path, step, GUARD, keep=2)
    assert steps(tmp_path) == [10, 100_000_000]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-100000000"]


def test_later_checkpoints_do_not_cost_a_run_its_own(run, tmp_path):
    """A run that had reached step 8 is resumed from step 2."""
    for step in (2, 6, 8):
        save_checkpoint(run[0], tmp_path, step, GUARD, keep=3)
    save_checkpoint(run[0], tmp_path, 4, GUARD, keep=1)
    assert steps(tmp_path) == [4, 6, 8]


def test_saving_a_step_again_replaces_it(run, tmp_path):
    first = save_checkpoint(run[0], tmp_path, 2, GUARD, keep=2)
    (first / "stale").touch()
    assert save_checkpoint(run[0], tmp_path, 2, GUARD, keep=2) == first
    assert not (first / "stale").exists()
    assert steps(tmp_path) == [2]


def test_incomplete_checkpoints_are_ignored(run, tmp_path):
    assert checkpoint_steps(tmp_path / "absent") == []
    save_checkpoint(run[0], tmp_path, 2, GUARD, keep=2)
    for name in (".partial-step-00000008", "step-00000006", "step-x", "step-"):
        (tmp_path / name).mkdir()
    (tmp_path / ".partial-step-00000008" / "trainer_state.json").write_text("{}")
    (tmp_path / "step-00000004").touch()
    assert steps(tmp_path) == [2]


@pytest.mark.parametrize("dies_in", ["save_state", "rename"])
def test_dying_while_saving_leaves_the_previous_checkpoint(run, tmp_path, monkeypatch, dies_in):
    accelerator = run[0]
    save_checkpoint(accelerator, tmp_path, 2, GUARD, keep=1)
    with monkeypatch.context() as patched:
        if dies_in == "save_state":
            save_state = accelerator.save_state

            def dying(folder, **options):
                save_state(folder, **options)
                die()

            patched.setattr(accelerator, "save_state", dying)
        else:
            patched.setattr("pathlib.Path.rename", die)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(accelerator, tmp_path, 4, GUARD, keep=1)
    assert steps(tmp_path) == [2]
    # The resumed run saves the same step over the leftovers.
    save_checkpoint(accelerator, tmp_path, 4, GUARD, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000004"]


def test_dying_while_deleting_leaves_no_half_checkpoint(run, tmp_path, monkeypatch):
    old = save_checkpoint(run[0], tmp_path, 2, GUARD, keep=1)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda folder, **_: die() if folder == old else None)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(run[0], tmp_path, 4, GUARD, keep=1)
    assert old.exists()
    assert steps(tmp_path) == [4]


def test_another_run_is_refused_by_name(run, tmp_path):
    folder = save_checkpoint(run[0], tmp_path, 2, {"seed": 0, "rows": 9, "max_steps": 8}, keep=1)
    with pytest.raises(ValueError, match=r"rows: 9 in the checkpoint, 12 now") as error:
        load_checkpoint(run[0], folder, {"seed": 0, "rows": 12, "head_lr": 0.1})
    assert "step-00000002" in str(error.value)
    assert "head_lr: not in the checkpoint, 0.1 now" in str(error.value)
    assert "max_steps: 8 in the checkpoint, absent now" in str(error.value)
    assert "seed" not in str(error.value)


def test_checkpoints_of_earlier_versions_are_refused_clearly(run, tmp_path):
    """They recorded fewer arguments, at the top level of the file."""
    folder = save_checkpoint(run[0], tmp_path, 2, GUARD, keep=1)
    (folder / "trainer_state.json").write_text(json.dumps({"step": 2, **GUARD}))
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"step-00000002' was saved by an earlier version .* another --output_dir"):
        load_checkpoint(run[0], folder, GUARD)


def test_missing_checkpoint_is_an_error(run, tmp_path):
    folder = save_checkpoint(run[0], tmp_path, 2, GUARD, keep=1)
    assert json.loads((folder / "trainer_state.json").read_text()) == {"step": 2, "guard": GUARD}
    (folder / "trainer_state.json").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"step-00000002/trainer_state.json' is missing"):
        load_checkpoint(run[0], folder, GUARD)
    (folder / "manifest.json").unlink()
    for path in (folder, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=rf"{path.name}' is not a complete checkpoint"):
            load_checkpoint(run[0], path, GUARD)
