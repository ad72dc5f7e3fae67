"""Evaluation of one saved checkpoint: tables, numbers for a model card, and a record of the figures."""

import json
from pathlib import Path
from typing import Any

import torch

from .benchmark import Benchmark
from .record import evaluation_record
from .runs import load_checkpoint
from .scored import Scored, system_numbers


def evaluate_checkpoint(benchmark: Benchmark) -> str:
    """Score the checkpoint of `--evaluate` on the test benchmark and return its tables as Markdown.

    Writes to `--output/evaluation`: the tables, all numbers, `{part}.json` for model cards, and `record.json`.
    """
    setup, path = benchmark.setup, benchmark.setup.bench.evaluate
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_checkpoint(benchmark.model_class, path, setup).to(device).eval()
    processor = benchmark.processor_class.from_pretrained(path)
    scores = benchmark.score(model, processor, "test")
    result = benchmark.result_class(settings={}, training={}, **scores)
    scored = benchmark.scored("test", {0: result})
    folder = setup.output / "evaluation"
    folder.mkdir(exist_ok=True)
    text = benchmark.evaluation_text(scored, folder)
    numbers = {"summary": result.summary, **system_numbers(scored)}
    (folder / "evaluation.md").write_text(text + "\n")
    (folder / "evaluation.json").write_text(json.dumps(numbers, indent=2))
    for part in scored.parts:
        (folder / f"{part}.json").write_text(json.dumps(card_numbers(benchmark, scored, part), indent=2))
    record = evaluation_record(benchmark, {Path(path).name: scored})
    (folder / "record.json").write_text(json.dumps(record, indent=1))
    return text


def card_numbers(benchmark: Benchmark, scored: Scored, part: str) -> dict[str, Any]:
    """Return what a model card shows of one part of the benchmark, in shares of 1."""
    sizes = benchmark.sizes(scored.benchmark)
    first = next(iter(scored.metrics))
    return {
        "metrics": {metric: shares(scored.interval(part, metric)._asdict()) for metric in scored.metrics},
        "chance": {first: 1 / sizes["items"]},
        **benchmark.card_extras(scored, part),
        "num_queries": sizes["queries"],
        "num_items": sizes["items"],
        "confidence": 0.95,
        "seed": 0,
    }


def shares(interval: dict[str, float]) -> dict[str, float]:
    """Convert percent to shares of 1."""
    return {name: value / 100 for name, value in interval.items()}
