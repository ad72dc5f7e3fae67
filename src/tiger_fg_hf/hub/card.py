"""Model cards: what a checkpoint is, how it was trained and what it scores, every number from a file."""

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
    """
    Attributes:
        template: file beside this one.
        tags, task_name: for the Hub.
        shown: metrics of the table; chance is that of the first.
        facts: what the template says of the architecture, of the configuration.
    """

    template: str
    tags: tuple[str, ...]
    task_name: str
    shown: tuple[str, ...]
    facts: Callable[[dict[str, Any]], dict[str, Any]]


# How each connector of TGQ-Former brings a picture to the language model.
_CONNECTIONS = {
    "tgq_former": "{num_metadata_queries} queries compressed from the title and {num_exploratory_queries} learned "
    "ones read the tokens of a frozen image-text encoder; gates modulate both kinds, and a language model reads them "
    "before the text.",
    "q_former": "Learned queries read the tokens of a frozen image-text encoder, a language model reads them before "
    "the text.",
    "notellm2": "Learned queries read the tokens of a frozen image-text encoder, a language model reads them before "
    "the text, and a gate fuses them with the embedding.",
    "perceiver_resampler": "A Perceiver-Resampler's latents read the tokens of a frozen image-text encoder, a "
    "language model reads them before the text.",
    "mlp": "Two layers map the tokens of a frozen image-text encoder, a language model reads them before the text.",
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
    """
    Writes `README.md` with a model-index into the folder of a joint TIGER-FG or a TGQ-Former checkpoint.

    Args:
        folder: checkpoint with `config.json` and weights.
        name: of the model on the Hub.
        description: what the model is, one or two sentences.
        summary: `train_summary.json` of the run: steps, seconds, arguments.
        results: benchmark name -> what `RetrievalResult.to_json` wrote, or the listing benchmark for a TGQ-Former.
        training_data: what it was trained on.
        hardware: what it was trained with.
        commands: the commands that reproduce training and numbers, shell.
        license: of the weights, an identifier of the Hub.

    Raises:
        FileNotFoundError, ValueError: as [`check_results`].
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
    """
    Whether a card can be made of the checkpoint in `folder` with these results.

    Raises:
        FileNotFoundError: `folder` holds no checkpoint.
        ValueError: it holds one of another kind, or a result is not of an evaluation of that kind.
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
    """Markdown table of benchmarks: metrics with intervals, chance of the first, and pointing where there is any."""
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
