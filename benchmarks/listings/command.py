"""
The listing benchmark: TGQ-Former's connector against others, item to item, under promotional overlays.

    python -m benchmarks.listings --output runs/listings --test abo/test.parquet --distractors abo/train.parquet \\
        --systems all,ablations examples/recipes/abo-tgq-former.yaml --data abo/train.parquet \\
        --clutter clutter.parquet --dual_encoder DIR --language_model DIR

Builds the benchmark, draws the training pairs once and keeps what the frozen dual encoder says of them, trains every
connector on them in the same order, scores it at every level of overlays, prints scores, training times and GFLOPs,
and writes `runs/listings/report/`. With several rates in `--grid`, each connector is tried at all of them on the
validation benchmark first. Each run is a process, `--jobs` of them side by side; what is finished is kept, and what
was interrupted goes on, so the command can be given again, for a few `--systems` at a time. `--report_only` reports
what there is, `--evaluate CHECKPOINT` scores one saved model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import datasets
import torch

from ..harness.processes import run_apart, start_script
from .arguments import Setup, parse_setup
from .data import BenchmarkData
from .evaluate import evaluate_checkpoint
from .report import write_report
from .run import Run, execute, final_runs, grid_runs


def main(argv: list[str] | None = None) -> int:
    """Returns how many runs failed."""
    setup = parse_setup(argv)
    datasets.disable_progress_bars()
    data, names = BenchmarkData(setup), setup.bench.system_names
    if setup.bench.run_one is not None:
        torch.set_num_threads(1)
        runs = {run.name: run for run in (*grid_runs(setup, names), *final_runs(setup, names))}
        if setup.bench.run_one not in runs:
            raise ValueError(f"--run_one: unknown run {setup.bench.run_one!r}; known are {', '.join(runs)}.")
        execute(setup, data, runs[setup.bench.run_one])
        return 0
    trials = list(grid_runs(setup, names))
    for part in ("test", "validation") if trials else ("test",):
        meta = data.build_benchmark(part).meta
        print(
            f"{part} benchmark: {meta['products']} products, {meta['distractor_listings']} distractors, "
            f"{meta['content']}",
            flush=True,
        )
    if setup.bench.evaluate is not None:
        print(evaluate_checkpoint(setup, data, setup.bench.evaluate))
        return 0
    failed = []
    if not setup.bench.report_only:
        for seed in setup.bench.seed_numbers:
            steps = max(run.steps for run in (*trials, *final_runs(setup, names)) if run.seed == seed)
            data.draw_pairs(seed, steps)
            data.encode_pairs(seed)
        for part in ("test", "validation") if trials else ("test",):
            data.encode_benchmark(part)
        failed = run_all(setup, trials)
        # Only now: the grid has told the rates.
        failed += run_all(setup, final_runs(setup, names))
    report, summary = write_report(setup, data)
    print(f"{summary}\nreport: {report}")
    return len(failed)


def run_all(setup: Setup, runs: Iterable[Run]) -> list[str]:
    """Executes runs in processes of their own, `--jobs` at a time; returns the names of those that failed."""
    waiting = []
    for run in runs:
        if run.rate is None:
            print(f"{run.name}: left out, as trials of its learning rates failed")
        else:
            waiting.append(run.name)
    return run_apart(waiting, setup.output, setup.argv, jobs=setup.bench.jobs, start=start_process)


def start_process(argv: list[str], log: TextIO) -> int:
    """Runs this script in a process of its own."""
    return start_script(Path(__file__).parent, argv, log)
