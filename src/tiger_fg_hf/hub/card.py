"""Model cards: what a checkpoint is, how it was trained and what it scores, every number from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

_TEMPLATE = Path(__file__).parent / "card_template.md"
_SHOWN = ("recall@1", "recall@5", "recall@10", "mrr")


def write_card(
    folder: str | Path,
    *,
    name: str,
    description: str,
    summary: dict[str, Any],
    results: dict[str, dict[str, Any]],
    training_data: str,
    hardware: str,
    commands: str,
    license: str = "apache-2.0",
) -> ModelCard:
    """
    Writes `README.md` with a model-index into a checkpoint folder.

    Args:
        folder: checkpoint with `config.json` and weights.
        name: of the model on the Hub.
        description: what the model is, one or two sentences.
        summary: `train_summary.json` of the run: steps, seconds, arguments.
        results: benchmark name -> what `RetrievalResult.to_json` wrote.
        training_data: what it was trained on.
        hardware: what it was trained with.
        commands: the commands that reproduce training and numbers, shell.
        license: of the weights, an identifier of the Hub.

    Raises:
        FileNotFoundError: `folder` holds no checkpoint.
    """
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    data = ModelCardData(
        model_name=name,
        license=license,
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=["tiger_fg", "product-search", "image-to-multimodal-retrieval", "visual-grounding"],
        eval_results=[
            EvalResult(
                task_type="image-retrieval",
                task_name="Image-to-multimodal retrieval",
                dataset_type=benchmark.lower().replace(" ", "-"),
                dataset_name=benchmark,
                metric_type=metric,
                metric_value=round(result["metrics"][metric]["mean"], 4),
            )
            for benchmark, result in results.items()
            for metric in _SHOWN
        ],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=name,
        description=description,
        table=results_table(results),
        steps=summary["steps"],
        minutes=f"{summary['seconds'] / 60:.0f}",
        pairs=f"{summary['pairs']:,}",
        parameters=f"{summary['parameters'] / 1e6:.2f}",
        hardware=hardware,
        training_data=training_data,
        commands=commands,
        dim=config["projection_dim"],
        architecture=config["vision_config"]["model_type"],
    )
    card.save(folder / "README.md")
    return card


def results_table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown table of benchmarks: metrics with intervals, chance, pointing."""
    lines = [
        "| benchmark | queries → items | " + " | ".join(_SHOWN) + " | chance recall@1 | pointing (chance) |",
        "|---|---|" + "---|" * (len(_SHOWN) + 2),
    ]
    for benchmark, result in results.items():
        cells = [_with_interval(result["metrics"][metric]) for metric in _SHOWN]
        pointing = "–"
        if result["pointing"] is not None:
            pointing = f"{_with_interval(result['pointing'])} ({result['pointing_chance']:.3f})"
        chance = f"{result['chance']['recall@1']:.4f}"
        sizes = f"{result['num_queries']} → {result['num_items']}"
        lines.append(f"| {benchmark} | {sizes} | {' | '.join(cells)} | {chance} | {pointing} |")
    any_result = next(iter(results.values()))
    lines.append(
        f"\nBrackets: {any_result['confidence']:.0%} bootstrap intervals over products, seed {any_result['seed']}."
    )
    return "\n".join(lines)


def _with_interval(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
