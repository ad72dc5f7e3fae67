"""Run the benchmark: `python -m benchmarks.immr`, or `python benchmarks/immr` from any directory."""

import sys
from pathlib import Path

if not __package__:  # started as a folder: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.harness.command import run_benchmark
from benchmarks.immr.benchmark import IMMR

if __name__ == "__main__":
    sys.exit(run_benchmark(IMMR))
