"""
The IMMR benchmark: TIGER-FG against what it is to be compared with, on one backbone, with one budget.

    python -m benchmarks.immr --output runs/immr --test abo/test.parquet --validation abo/validation.parquet \\
        examples/recipes/abo-deit-tiny.yaml --data abo/train.parquet --clutter clutter.parquet \\
        --vision VISION --text TEXT

Builds the benchmarks, tries every system at the same learning rates on the validation benchmark, trains it at the best
and scores it on the test benchmark, and writes `runs/immr/report/`. Each run is a process, `--jobs` of them side by
side; what is finished is kept, and what was interrupted goes on, so the command can be given again, for a few
`--systems` at a time. `--report_only` reports what there is, `--evaluate CHECKPOINT` scores one saved model.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import datasets
import torch

from tiger_fg_hf import TigerFGModel, TigerFGProcessor
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GALLERIES

from ..harness.processes import run_apart, start_script
from .arguments import Setup, parse_setup
from .data import BenchmarkData
from .report import evaluation_report, write_report
from .run import Run, execute, final_runs, grid_runs, measure_towers, score_model, summarize, teacher_features
from .systems import BY_NAME


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
    for part in ("test", "validation") if next(grid_runs(setup, names), None) else ("test",):
        meta = data.build_benchmark(part).meta
        print(f"{part} benchmark: {meta['products']} products, {meta['queries']} queries, {meta['content']}")
    if setup.bench.evaluate is not None:
        evaluate_checkpoint(setup, data)
        return 0
    failed = []
    if not setup.bench.report_only:
        data.training_fingerprint  # noqa: B018  # makes what the runs would else make at once
        if any(BY_NAME[name].weights(setup.losses).needs_teacher for name in names):
            teacher_features(setup, data)
        failed = run_all(setup, grid_runs(setup, names))
        # Only now: the grid has told the rates.
        failed += run_all(setup, final_runs(setup, names))
    report = write_report(setup, data)
    print(f"report: {report}")
    return len(failed)


def run_all(setup: Setup, runs: Iterable[Run]) -> list[str]:
    """Executes runs in processes of their own, `--jobs` at a time; returns the names of those that failed."""
    waiting = []
    for run in runs:
        if run.system.trained and run.rate is None:
            print(f"{run.name}: left out, as trials of its learning rates failed")
        else:
            waiting.append(run)

    names = [run.name for run in waiting]
    return run_apart(names, setup.output, setup.argv, jobs=setup.bench.jobs, start=start_process)


def start_process(argv: list[str], log: TextIO) -> int:
    """Runs this script in a process of its own."""
    return start_script(Path(__file__).parent, argv, log)


def evaluate_checkpoint(setup: Setup, data: BenchmarkData) -> None:
    """Scores one saved model on the test benchmark: prints its tables and writes them to `--output/evaluation`."""
    path = setup.bench.evaluate
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = TigerFGModel.from_pretrained(path, attn_implementation=setup.model.attn_implementation).to(device).eval()
    processor = TigerFGProcessor.from_pretrained(path)
    benchmark = data.benchmark("test")
    scores = score_model(setup, model, processor, benchmark)
    folder = setup.output / "evaluation"
    markdown, numbers = evaluation_report(benchmark, scores, measure_towers(model, processor, benchmark))
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.md").write_text(markdown)
    (folder / "evaluation.json").write_text(json.dumps({"summary": summarize(benchmark, scores), **numbers}, indent=2))
    for gallery in GALLERIES:  # for model cards
        (folder / f"{gallery}.json").write_text(json.dumps(card_numbers(benchmark, numbers, gallery), indent=2))
    print(markdown)


def card_numbers(benchmark: IMMRBenchmark, numbers: dict[str, Any], gallery: str) -> dict[str, Any]:
    """What `examples/publish.py` reads of one gallery, in shares of 1 as `examples/evaluate.py` writes them."""

    def shares(interval: dict[str, float] | None) -> dict[str, float] | None:
        return None if interval is None else {name: interval[name] / 100 for name in ("mean", "low", "high")}

    pointing = numbers["grounding"][f"pointing {gallery}"]
    return {
        "metrics": {name: shares(interval) for name, interval in numbers["metrics"][gallery].items()},
        "chance": {"recall@1": 1 / len(benchmark.normal)},
        "pointing": shares(pointing),
        "pointing_chance": None if pointing is None else pointing["chance"] / 100,
        "num_queries": len(benchmark.queries),
        "num_items": len(benchmark.normal),
        "confidence": 0.95,
        "seed": 0,
    }
