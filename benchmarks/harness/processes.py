"""Runs of a benchmark side by side, each in a process of its own that leaves its log in the run's folder."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from .folder import is_finished


def run_apart(
    names: Sequence[str],
    output: Path,
    argv: Sequence[str],
    *,
    jobs: int,
    start: Callable[[list[str], TextIO], int],
) -> list[str]:
    """
    Executes runs, `jobs` at a time, and prints how each ended; returns the names of those that failed.

    Args:
        names: of the runs, which are their folders below `output`.
        argv: the benchmark's command line, to which each process gets `--run_one` beside.
        start: runs the benchmark with arguments and a file for its output, and returns its exit status.
    """

    def execute(name: str) -> bool:
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        finished = is_finished(folder)
        with (folder / "log.txt").open("a") as log:
            code = start(["--run_one", name, *argv], log)
        ended = f"failed, see {folder / 'log.txt'}" if code else "kept" if finished else "done"
        print(f"{name}: {ended}", flush=True)
        return code == 0

    with ThreadPoolExecutor(jobs) as pool:
        succeeded = list(pool.map(execute, names))
    return [name for name, good in zip(names, succeeded, strict=True) if not good]


def start_script(script: Path, argv: list[str], log: TextIO) -> int:
    """Runs a script, or a folder with a `__main__.py`, in a process of one thread: more would slow each other down."""
    command = [sys.executable, str(script.resolve()), *argv]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
