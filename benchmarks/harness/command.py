"""The command of a benchmark: build the data, execute the runs, write the report."""

from collections.abc import Iterable, Sequence
from functools import partial

import datasets
import torch

from .benchmark import Benchmark, Run
from .evaluate import evaluate_checkpoint
from .processes import run_processes, start_script
from .report import write_report
from .runs import execute, final_runs, grid_runs


def run_benchmark(kind: type[Benchmark], argv: Sequence[str] | None = None) -> int:
    """Run a benchmark from its command line; return the number of failed runs."""
    setup = kind.parse(argv)
    datasets.disable_progress_bars()
    benchmark, names = kind(setup), setup.bench.system_names
    if setup.bench.run_one is not None:
        torch.set_num_threads(1)
        runs = {run.name: run for run in (*grid_runs(benchmark, names), *final_runs(benchmark, names))}
        if setup.bench.run_one not in runs:
            raise ValueError(f"--run_one: unknown run {setup.bench.run_one!r}; known are {', '.join(runs)}.")
        execute(benchmark, runs[setup.bench.run_one])
        return 0
    trials = list(grid_runs(benchmark, names))
    parts = ("test", "validation") if trials else ("test",)
    for part in parts:
        built = benchmark.data.build_benchmark(part)
        sizes = ", ".join(f"{count} {name}" for name, count in benchmark.sizes(built).items())
        print(f"{part} benchmark: {sizes}, {built.meta['content']}", flush=True)
    if setup.bench.evaluate is not None:
        print(evaluate_checkpoint(benchmark))
        return 0
    failed = []
    if not setup.bench.report_only:
        benchmark.prepare([*trials, *final_runs(benchmark, names)], parts)
        failed = _run_all(benchmark, trials)
        # Planned only now, because the trials select the learning rates.
        failed += _run_all(benchmark, final_runs(benchmark, names))
    report, summary = write_report(benchmark)
    print(f"{summary}\nreport: {report}" if summary else f"report: {report}")
    return len(failed)


def _run_all(benchmark: Benchmark, runs: Iterable[Run]) -> list[str]:
    waiting = []
    for run in runs:
        if run.system.trained and run.rate is None:
            print(f"{run.name}: left out, because trials of its learning rates failed")
        else:
            waiting.append(run.name)
    setup = benchmark.setup
    start = partial(start_script, benchmark.script)
    return run_processes(waiting, setup.output, setup.argv, jobs=setup.bench.jobs, start=start)
