"""Runs of a second that are killed, damaged or starved of disk, and compared with an uninterrupted one."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from tiny_training import TRAIN_SCRIPT, final_weights, write_recipe

from tests.fuzz.damage import damage
from tests.training.test_kill import RECIPE, after_a_checkpoint, kill_when, while_saving
from tiger_fg_hf import drawn_catalog
from tiger_fg_hf.training.checkpoint import checkpoint_steps


class TrainingCases:
    """Cases in one folder, which share a catalog and an uninterrupted run.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._data = folder / "catalog"
        if self._data.exists():  # another process has made catalog and run
            return
        drawn_catalog(num_products=24, views=2, layout="clean", size=48).save_to_disk(self._data)
        whole = self.run("whole", save_total_limit=2)
        if whole.returncode != 0:
            raise RuntimeError(whole.stdout[-2000:])

    def recipe(self, name: str, **changes) -> Path:
        (self.folder / name).mkdir(exist_ok=True)
        changes = {"data": str(self._data), "output_dir": str(self.folder / name), **RECIPE, **changes}
        return write_recipe(self.folder / name, **changes)

    def run(self, name: str, **changes) -> subprocess.CompletedProcess[str]:
        """Train to the end in another process."""
        return subprocess.run(
            [sys.executable, str(TRAIN_SCRIPT), str(self.recipe(name, **changes))],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    def kill_twice(self, seed: int) -> str:
        """Kill a run at a random moment and while it saves, then finish it."""
        name = f"killed-{seed}"
        checkpoints = self.folder / name / "checkpoints"
        kill_when(after_a_checkpoint(checkpoints, random.Random(seed).uniform(0.0, 0.3)), self.recipe(name))
        kill_when(while_saving(checkpoints), self.recipe(name, resume="auto"))
        return self.finish(name)

    def corrupt(self, seed: int) -> str:
        """Damage the newest of two checkpoints, then resume."""
        name = f"damaged-{seed}"
        shutil.copytree(self.folder / "whole", self.folder / name)
        (self.folder / name / "model.safetensors").unlink()
        _, newest = checkpoint_steps(self.folder / name / "checkpoints")[-1]
        done = damage(newest, seed)
        outcome = self.finish(name, newest.name, save_total_limit=2)
        return outcome if outcome in ("equal", "detected") else f"{newest.name}/{done}: {outcome}"

    def finish(self, name: str, newest: str | None = None, **changes) -> str:
        """Resume a run and compare it with the uninterrupted one: "equal", "detected" or what went wrong.

        Args:
            name: Folder of the run.
            newest: Name of a damaged checkpoint. An error that names it is "detected".
            **changes: Arguments of the recipe.
        """
        done = self.run(name, resume="auto", **changes)
        if done.returncode != 0:
            # A damage may also be refused, in words that name the checkpoint.
            last = done.stdout.strip().splitlines()[-1][:200]
            return "detected" if newest is not None and newest in last else f"not resumed: {last}"
        found, expected = final_weights(self.folder / name), final_weights(self.folder / "whole")
        equal = found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)
        shutil.rmtree(self.folder / name)
        return "equal" if equal else "other weights"
