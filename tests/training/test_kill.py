"""A run that is killed at any moment and resumed from its last complete checkpoint ends in the same weights."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tiny_training import TRAIN_SCRIPT, final_weights, load_script, untimed_history, write_recipe

from tiger_fg_hf.training.checkpoint import checkpoint_steps

# Everything that could make a resumed run differ: dropout, workers, mosaics, accumulation, half precision, an average.
RECIPE = {
    "num_workers": 2,
    "mosaic_share": 0.5,
    "num_hard_texts": 1,
    "gradient_accumulation_steps": 2,
    "mixed_precision": "bf16",
    "ema_decay": 0.9,
    "max_steps": 16,
    "save_every": 2,
    "save_total_limit": 1,
    "log_every": 3,
}


def kill_when(condition: Callable[[], bool], recipe: Path, seconds: float = 240) -> None:
    """Run the script in its own process group, and kill the group when the condition holds."""
    command = [sys.executable, str(TRAIN_SCRIPT), str(recipe)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + seconds
    try:
        while run.poll() is None and not condition():
            assert time.monotonic() < deadline, "the moment never came"
            time.sleep(0.001)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        output, _ = run.communicate()
    assert run.returncode == -signal.SIGKILL, output[-4000:]


def after_a_checkpoint(folder: Path, seconds: float) -> Callable[[], bool]:
    """Return a condition that holds some seconds after the first checkpoint is complete."""
    found: list[float] = []

    def condition() -> bool:
        if not found and checkpoint_steps(folder):
            found.append(time.monotonic())
        return bool(found) and time.monotonic() >= found[0] + seconds

    return condition


def while_saving(folder: Path) -> Callable[[], bool]:
    """Return a condition that holds while a checkpoint begun from now on is half written."""
    begin = time.time_ns()
    return lambda: any(half.stat().st_ctime_ns > begin for half in folder.glob(".partial-*"))


def test_killed_run_ends_as_an_uninterrupted_one(catalog_folder, fresh_accelerate, tmp_path):
    """Weights are equal bit for bit after a kill at a random moment and one while a checkpoint is written."""

    def recipe(name: str, **changes) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        changes = {"data": str(catalog_folder), "output_dir": str(tmp_path / name), **RECIPE, **changes}
        return write_recipe(tmp_path, **changes)

    checkpoints = tmp_path / "killed" / "checkpoints"
    delay = random.Random(0).uniform(0.0, 0.3)
    kill_when(after_a_checkpoint(checkpoints, delay), recipe("killed"))
    ((first, _),) = checkpoint_steps(checkpoints)
    kill_when(while_saving(checkpoints), recipe("killed", resume="auto"))
    ((second, folder),) = checkpoint_steps(checkpoints)
    assert 2 <= first <= second < RECIPE["max_steps"]
    assert (folder / "trainer_state.json").is_file()

    script = load_script(TRAIN_SCRIPT)
    script.main([str(recipe("killed", resume="auto"))])
    fresh_accelerate()
    script.main([str(recipe("whole"))])
    found, expected = final_weights(tmp_path / "killed"), final_weights(tmp_path / "whole")
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert torch.equal(weight, expected[name]), name
    assert untimed_history(tmp_path / "killed") == untimed_history(tmp_path / "whole")
    assert [step for step, _ in checkpoint_steps(checkpoints)] == [14]
    assert not list(checkpoints.glob(".partial-*"))
