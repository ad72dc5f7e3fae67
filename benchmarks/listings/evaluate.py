"""One saved TGQ-Former on the test benchmark: its tables, and the numbers of its model card."""

import json
from typing import Any

import torch

from tiger_fg_hf import TGQFormerModel, TGQFormerProcessor
from tiger_fg_hf.evaluation.bootstrap import bootstrap_interval
from tiger_fg_hf.synthetic.overlays import LEVELS

from ..harness.text import interval_text, table
from .arguments import Setup
from .benchmark import ListingBenchmark
from .data import BenchmarkData
from .report import gates_text
from .results import Metrics, Result
from .run import score_model
from .tables import METRICS, Scored


def evaluate_checkpoint(setup: Setup, data: BenchmarkData, path: str) -> str:
    """
    Scores the checkpoint; writes `evaluation/{level}.json` below `--output` and returns the tables as Markdown.

    Where its connector has gates, `evaluation/gates.png` shows them.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = TGQFormerModel.from_pretrained(path, attn_implementation=setup.model.attn_implementation).to(device).eval()
    benchmark = data.benchmark("test")
    metrics, wrong_titles, gates = score_model(setup, model, TGQFormerProcessor.from_pretrained(path), benchmark)
    folder = setup.output / "evaluation"
    folder.mkdir(exist_ok=True)
    for level in LEVELS:
        numbers = card_numbers(benchmark, metrics[level], setup.bench.benchmark_seed)
        (folder / f"{level}.json").write_text(json.dumps(numbers, indent=2))
    result = Result({}, metrics, wrong_titles, gates, cost={}, training={}, seconds_per_1k=0.0)
    found = Scored(benchmark.queries["clean"]["item_id"][:], {0: result})
    rows = [[level, *(interval_text(found.interval(level, name)) for name in METRICS)] for level in LEVELS]
    text = table(["overlays", *METRICS.values()], rows)
    return f"{text}\n\n{gates_text(found, folder)}" if found.has_gates else text


def card_numbers(benchmark: ListingBenchmark, metrics: Metrics, seed: int) -> dict[str, Any]:
    """What `examples/publish.py` reads of one level, in shares of 1."""
    pool = len(benchmark.pool["clean"])
    return {
        "metrics": {name: bootstrap_interval(values)._asdict() for name, values in metrics.items()},
        "chance": {"hit_rate@1": 1 / pool},
        "pointing": None,
        "num_queries": len(benchmark.queries["clean"]),
        "num_items": pool,
        "confidence": 0.95,
        "seed": seed,
    }
