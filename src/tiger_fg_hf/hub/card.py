"""Write model cards: what a checkpoint is, how it was trained and what it scores. Every number comes from a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData


@dataclass(frozen=True)
class _Kind:
    """The card of one model type.

    Attributes:
        template: File in this folder.
        tags: Tags for the Hub.
        task_name: Name of the task for the Hub.
        shown: Metrics in the table; the chance column is for the first.
        facts: Fields of the template that come from the model's configuration.
    """

    template: str
    tags: tuple[str, ...]
    task_name: str
    shown: tuple[str, ...]
    facts: Callable[[dict[str, Any]], dict[str, Any]]


# How each connector of TGQ-Former passes a picture to the language model.
_CONNECTIONS = {
    "tgq_former": "{num_metadata_queries} queries compressed from the title and {num_exploratory_queries} learned "
    "ones read the tokens of a frozen image-text encoder; gates modulate both kinds, and a language model reads them "
    "before the text.",
    "q_former": "Learned queries read the tokens of a frozen image-text encoder, and a language model reads them "
    "before the text.",
    "notellm2": "Learned queries read the tokens of a frozen image-text encoder, a language model reads them before "
    "the text, and a gate fuses them with the embedding.",
    "perceiver_resampler": "A Perceiver-Resampler's latents read the tokens of a frozen image-text encoder, and a "
    "language model reads them before the text.",
    "mlp": "Two layers map the tokens of a frozen image-text encoder, and a language model reads them before the "
    "text.",
}
_KINDS = {
    "tiger_fg": _Kind(
        "card_template.md",
        ("tiger_fg", "product-search", "image-to-multimodal-retrieval", "visual-grounding"),
        "Image-to-multimodal retrieval",
        ("recall@1", "recall@5", "recall@10", "mrr"),
        lambda config: {"dim": config["projection_dim"], "architecture": config["vision_config"]["model_type"]},
    ),
    "tgq_former": _Kind(
        "card_template_tgq_former.md",
        ("tgq_former", "product-search", "item-to-item-retrieval"),
        "Item-to-item retrieval",
        ("hit_rate@1", "hit_rate@10", "hit_rate@100", "mrr"),
        lambda config: {
            "dim": config["text_config"]["hidden_size"],
            "dual_encoder": config["dual_encoder_config"]["model_type"],
            "language_model": config["text_config"]["model_type"],
            "connector": config["connector"],
            "connection": _CONNECTIONS[config["connector"]].format(**config),
        },
    ),
}


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
    """Write `README.md` with a model index into the folder of a TIGER-FG or TGQ-Former checkpoint.

    Args:
        folder: Checkpoint folder with `config.json` and weights.
        name: Name of the model on the Hub.
        description: What the model is, in one or two sentences.
        summary: Content of the run's `train_summary.json`: steps, seconds, arguments.
        results: Benchmark name → content of a result file, as `RetrievalResult.to_json` or the listings benchmark
            writes it.
        training_data: What the model was trained on.
        hardware: What it was trained on.
        commands: Shell commands that reproduce training and results.
        license: License of the weights, as a Hub identifier.

    Returns:
        The card.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
        ValueError: The checkpoint or a result is of the wrong type; see `check_results`.
    """
    folder = Path(folder)
    check_results(folder, results)
    config = json.loads((folder / "config.json").read_text())
    kind = _KINDS[config["model_type"]]
    data = ModelCardData(
        model_name=name,
        license=license,
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=list(kind.tags),
        eval_results=[
            EvalResult(
                task_type="image-retrieval",
                task_name=kind.task_name,
                dataset_type=re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-"),
                dataset_name=benchmark,
                metric_type=metric,
                metric_value=round(result["metrics"][metric]["mean"], 4),
            )
            for benchmark, result in results.items()
            for metric in kind.shown
        ],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(Path(__file__).parent / kind.template),
        name=name,
        description=description,
        table=results_table(results, kind.shown),
        steps=summary["steps"],
        minutes=f"{summary['seconds'] / 60:.0f}",
        pairs=f"{summary['pairs']:,}",
        parameters=f"{summary['parameters'] / 1e6:.2f}",
        hardware=hardware,
        training_data=training_data,
        commands=commands,
        **kind.facts(config),
    )
    card.save(folder / "README.md")
    return card


def check_results(folder: str | Path, results: dict[str, dict[str, Any]]) -> None:
    """Check that a card can be written for the checkpoint in `folder` from these results.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
        ValueError: The checkpoint is of another type, or a result lacks metrics that its card shows.
    """
    path = Path(folder, "config.json")
    if not path.is_file():
        raise FileNotFoundError(f"'{folder}' holds no checkpoint: it has no config.json.")
    model_type = json.loads(path.read_text()).get("model_type")
    if model_type not in _KINDS:
        raise ValueError(f"'{folder}' holds a '{model_type}'; cards are for {', '.join(_KINDS)}.")
    for benchmark, result in results.items():
        missing = [metric for metric in _KINDS[model_type].shown if metric not in result.get("metrics", {})]
        if missing:
            raise ValueError(f"The results of '{benchmark}' lack {', '.join(missing)} of a '{model_type}' evaluation.")


def results_table(results: dict[str, dict[str, Any]], shown: Sequence[str] = _KINDS["tiger_fg"].shown) -> str:
    """Return a Markdown table of results: metrics with intervals, chance for the first, and pointing if measured."""
    pointed = any(result.get("pointing") is not None for result in results.values())
    heads = ["benchmark", "queries → items", *shown, f"chance {shown[0]}", *(["pointing (chance)"] if pointed else [])]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for benchmark, result in results.items():
        cells = [benchmark, f"{result['num_queries']} → {result['num_items']}"]
        cells += [_with_interval(result["metrics"][metric]) for metric in shown]
        cells.append(f"{result['chance'][shown[0]]:.4f}")
        if pointed:
            found = result.get("pointing")
            cells.append("–" if found is None else f"{_with_interval(found)} ({result['pointing_chance']:.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    any_result = next(iter(results.values()))
    lines.append(
        f"\nBrackets: {any_result['confidence']:.0%} bootstrap intervals over products, seed {any_result['seed']}."
    )
    return "\n".join(lines)


def _with_interval(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
