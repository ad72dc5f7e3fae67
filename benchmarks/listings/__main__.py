"""Runs the benchmark: `python -m benchmarks.listings`, or `python benchmarks/listings` from anywhere."""

import sys
from pathlib import Path

if not __package__:  # run as a folder: find the checkout, and nothing in this folder by a bare name
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.listings.command import main

if __name__ == "__main__":
    sys.exit(main())
