"""Runs of a benchmark in parallel processes, each with a log in its run folder."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from .folder import is_finished


def run_processes(
    names: Sequence[str],
    output: Path,
    argv: Sequence[str],
    *,
    jobs: int,
    start: Callable[[list[str], TextIO], int],
) -> list[str]:
    """Execute runs, `jobs` at a time; print how each ended and return the names of the failed ones.

    Args:
        names: names of the runs, which are their folders below `output`.
        output: folder of the benchmark.
        argv: command line of the benchmark; each process gets `--run_one NAME` in addition.
        jobs: number of processes at a time.
        start: runs the benchmark with some arguments and a log file; returns the exit status.
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
    """Run a script, or a folder with a `__main__.py`, in a process with one thread; return its exit status."""
    command = [sys.executable, str(script.resolve()), *argv]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # parallel runs would compete for cores
    return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
