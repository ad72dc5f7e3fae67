"""Encode or train on a disk that fills up, then on the same disk with room, and compare with an uninterrupted run.

    python -m tests.fuzz.full_disk {encode,train} FOLDER SEED

Prints the outcome. The disk is a tmpfs of its own mount namespace, which the parent starts with `unshare`.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.fuzz import encoding
from tests.fuzz.training import TrainingCases

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def is_possible() -> bool:
    """Whether this machine lets users make a mount namespace of their own."""
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run(kind: str, folder: Path, seed: int) -> str:
    """Run one case in its own namespace, and return the outcome; `equal` is the good one."""
    command = [*NAMESPACE, sys.executable, "-m", "tests.fuzz.full_disk", kind, str(folder), str(seed)]
    # The child has to find the tests' modules where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else f"the case failed: {done.stderr[-300:]}"


def _encode(disk: Path, folder: Path, rng: random.Random) -> str:
    _mount(disk, 4 * rng.randrange(1, 12))
    try:
        encoding.encode(disk / "out")
        return "the disk was large enough"
    except Exception as error:
        if "No space left" not in str(error):
            return f"unnamed: {type(error).__name__}: {str(error)[:200]}"
    _mount(disk, 100_000, again=True)
    encoding.encode(disk / "out")
    return encoding.compare(disk / "out", folder)


def _train(disk: Path, folder: Path, rng: random.Random) -> str:
    cases = TrainingCases(folder)
    _mount(disk, rng.randrange(50, 900))
    (disk / "out").mkdir()
    name = str(disk / "out")
    done = cases.run(name, save_total_limit=2)
    if done.returncode == 0:
        return "the disk was large enough"
    last = done.stdout.strip().splitlines()[-1]
    if "The disk is full" not in last:
        return f"unnamed: {last[:200]}"
    _mount(disk, 100_000, again=True)
    return cases.finish(name, save_total_limit=2)


def _mount(disk: Path, kib: int, *, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={kib}k"
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


if __name__ == "__main__":
    kind, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    case = {"encode": _encode, "train": _train}[kind]
    print(case(folder / f"disk-{kind}-{seed}", folder, random.Random(f"disk {seed}")))
