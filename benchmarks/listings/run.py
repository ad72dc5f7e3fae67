"""One run of the listing benchmark: a connector trained with one seed at one learning rate, and scored."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from tiger_fg_hf.evaluation.tgq_former import EmbeddedListings, embed_listings, item_metrics
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.objectives.tgq_former import TGQFormerTask
from tiger_fg_hf.synthetic.overlays import LEVELS, Level
from tiger_fg_hf.training.arguments import TrainArguments
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.lora import add_lora

from ..harness.folder import claim_folder, is_finished
from .arguments import AUTOCAST_TYPES, Setup
from .benchmark import ListingBenchmark
from .cost import connector_cost, item_cost
from .data import BenchmarkData
from .features import FeatureCollator, FeatureStudent, ListingFeatures
from .gates import Gates, Part, listings_of
from .model import model_settings, start_model
from .results import Metrics, Result, load_result, save_result
from .systems import ABLATIONS, BY_NAME, OURS, System

_TRAINED = "trained.json"
# Where the run lies and what it tells of itself; seed, steps and rates are compared by names of their own.
_NOT_COMPARED = (
    *("output_dir", "seed", "resume", "tracker", "progress", "eval_every", "max_steps", "backbone_lr", "head_lr"),
    *("log_every", "save_every", "save_total_limit"),
)


@dataclass(frozen=True)
class Run:
    """
    Attributes:
        system: what is run.
        seed: of weights, pairs and order.
        rate: learning rate of the connector; None where the grid has not told it yet.
        steps: of training.
        benchmark: `"validation"` for trials of the grid, else `"test"`.
        name: of its folder below `--output`.
    """

    system: System
    seed: int
    rate: float | None
    steps: int
    benchmark: str
    name: str


def grid_runs(setup: Setup, names: Iterable[str]) -> Iterator[Run]:
    """Trials of some systems at every rate, where there are several; ablations learn at TGQ-Former's."""
    steps = setup.bench.grid_steps or max(1, setup.train.max_steps // 5)
    if len(setup.rates) == 1:
        return
    for name in dict.fromkeys(OURS if BY_NAME[name] in ABLATIONS else name for name in names):
        for rate in setup.rates:
            seed = setup.bench.seed_numbers[0]
            yield Run(BY_NAME[name], seed, rate, steps, "validation", f"grid/{name}-lr{rate:g}")


def final_runs(setup: Setup, names: Iterable[str]) -> Iterator[Run]:
    """Runs of some systems that are scored on the test benchmark."""
    names = list(names)
    for seed in setup.bench.seed_numbers:
        for name in names:
            rate = selected_rate(setup, name)
            yield Run(BY_NAME[name], seed, rate, setup.train.max_steps, "test", f"{name}-seed{seed}")


def grid_scores(setup: Setup, name: str) -> dict[float, float]:
    """For each rate that a system has been tried at: mean hit_rate@10 over the levels of the validation benchmark."""
    scores = {}
    for run in grid_runs(setup, [name]):
        if run.rate is not None and is_finished(setup.output / run.name):
            summary = load_result(setup.output / run.name).summary
            scores[run.rate] = sum(summary[level]["hit_rate@10"] for level in LEVELS) / len(LEVELS)
    return scores


def selected_rate(setup: Setup, name: str) -> float | None:
    """The rate that a system learns at: the one there is, or the best of the grid once all of it is there."""
    if len(setup.rates) == 1:
        return setup.rates[0]
    scores = grid_scores(setup, name)
    return max(scores, key=lambda rate: scores[rate]) if len(scores) == len(setup.rates) else None


def run_settings(setup: Setup, data: BenchmarkData, run: Run) -> dict[str, Any]:
    """Everything that a run's result depends on."""
    settings = {
        "system": run.system.name,
        "model": model_settings(setup),
        "losses": asdict(run.system.weights(setup.losses)),
        "seed": run.seed,
        "steps": run.steps,
        "rate": run.rate,
        "backbone_rate": None if run.rate is None else _backbone_rate(setup.train, run.rate),
        "training": {name: value for name, value in asdict(setup.train).items() if name not in _NOT_COMPARED},
        "data": data.settings,
        "benchmark": {"name": run.benchmark, "content": data.benchmark(run.benchmark).meta["content"]},
    }
    return json.loads(json.dumps(settings))  # as it is read again


def execute(setup: Setup, data: BenchmarkData, run: Run) -> None:
    """Trains and scores; goes on from a checkpoint where one is, and does nothing where the result is there."""
    folder = setup.output / run.name
    if run.rate is None:
        raise ValueError(f"{run.name} has no learning rate: the trials of the grid come first.")
    settings = run_settings(setup, data, run)
    claim_folder(folder, settings)
    if is_finished(folder):
        return
    train_args = replace(
        setup.train,
        output_dir=str(folder),
        seed=run.seed,
        max_steps=run.steps,
        backbone_lr=settings["backbone_rate"],
        head_lr=run.rate,
        resume="auto",
        tracker="none",
        progress=False,
    )
    accelerator = build_accelerator(train_args)
    model, processor = start_model(setup, run.system, run.seed)
    trained = folder / "model" / _TRAINED
    if trained.is_file():
        model = TGQFormerModel.from_pretrained(
            trained.parent, dtype=torch.float32, attn_implementation=setup.model.attn_implementation
        )
    else:
        model, summary = _train(setup, data, run, train_args, accelerator, model, processor, settings)
        model.save_pretrained(trained.parent)
        processor.save_pretrained(trained.parent)
        trained.write_text(json.dumps(summary))  # last: it marks the folder as whole
    model = model.to(accelerator.device).eval()
    benchmark = data.benchmark(run.benchmark)
    scores = score_model(setup, model, processor, benchmark, partial(data.features, run.benchmark))
    seconds = seconds_per_1k(setup, model, processor, benchmark)
    cost = measure_model(model, processor, benchmark)
    save_result(folder, Result(settings, *scores, cost, json.loads(trained.read_text()), seconds))
    accelerator.end_training()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    is_ours = run.system.name == OURS and run.seed == setup.bench.seed_numbers[0]
    if run.benchmark == "validation" or not (is_ours or setup.bench.keep_models):
        shutil.rmtree(folder / "model", ignore_errors=True)


def score_model(
    setup: Setup,
    model: TGQFormerModel,
    processor: Any,
    benchmark: ListingBenchmark,
    features: Callable[[Part, Level], Path] | None = None,
) -> tuple[dict[str, Metrics], dict[str, Metrics], dict[str, dict[str, Gates]]]:
    """
    By level, queries and pool at the same one: metrics, metrics of queries with wrong titles, and gates with both.

    One product alone has no wrong title, and a connector without both gates no gates.

    Args:
        features: file of what the dual encoder says of a part; it runs on the pictures where this is None.
    """

    def embedded(part: Part, level: Level) -> EmbeddedListings:
        encoded = None if features is None else ListingFeatures(features(part, level), model.device).pair
        return embed_listings(
            model, processor, *listings_of(benchmark, part, level), encoded=encoded, **_evaluation_options(setup)
        )

    metrics: dict[str, Metrics] = {}
    wrong_titles: dict[str, Metrics] = {}
    gates: dict[str, dict[str, Gates]] = {}
    for level in LEVELS:
        own, pool = embedded("queries", level), embedded("pool", level)
        queries, pooled = (rows[level]["item_id"][:] for rows in (benchmark.queries, benchmark.pool))
        metrics[level] = item_metrics(own.embeds, queries, pool.embeds, pooled)
        if len(queries) > 1:
            wrong = embedded("mismatched", level)
            wrong_titles[level] = item_metrics(wrong.embeds, queries, pool.embeds, pooled)
            if own.metadata_gate is not None:
                gates[level] = {"own": Gates.of(own), "mismatched": Gates.of(wrong)}
    return metrics, wrong_titles, gates


def seconds_per_1k(setup: Setup, model: TGQFormerModel, processor: Any, benchmark: ListingBenchmark) -> float:
    """Seconds that embedding 1,000 listings takes, pictures and dual encoder included: by one batch, after another."""
    images, records = listings_of(benchmark, "queries", "clean")
    rows = range(min(len(records), setup.bench.eval_batch_size))
    part = [images[row] for row in rows], [records[row] for row in rows]
    embed_listings(model, processor, *part, **_evaluation_options(setup))
    started = time.perf_counter()
    embed_listings(model, processor, *part, **_evaluation_options(setup))
    return 1000 * (time.perf_counter() - started) / len(rows)


def _evaluation_options(setup: Setup) -> dict[str, Any]:
    dtype = AUTOCAST_TYPES.get(setup.train.mixed_precision)
    return {"batch_size": setup.bench.eval_batch_size, "autocast_dtype": dtype}


def measure_model(model: TGQFormerModel, processor: Any, benchmark: ListingBenchmark) -> dict[str, dict[str, float]]:
    """Cost of the connector alone, and of embedding one item, with a text of median length."""
    rows = benchmark.queries["clean"]
    records = sorted(benchmark.records(rows), key=lambda record: len(processor.render_text(record)))
    inputs = processor(
        images=[load_rgb_image(rows[0]["image"])], text=[records[len(records) // 2]], return_tensors="pt"
    )
    inputs = dict(inputs.to(model.device))
    return {"connector": connector_cost(model, inputs)._asdict(), "item": item_cost(model, inputs)._asdict()}


def _train(
    setup: Setup,
    data: BenchmarkData,
    run: Run,
    train_args: TrainArguments,
    accelerator: Accelerator,
    model: TGQFormerModel,
    processor: Any,
    settings: dict[str, Any],
) -> tuple[TGQFormerModel, dict[str, float]]:
    """The trained model without adapters, and what the training took."""
    args = setup.model
    pairs = data.pairs(run.seed)
    pairs_seen = run.steps * train_args.batch_size * train_args.gradient_accumulation_steps
    if args.agreement_samples:
        model.calibrate_agreement(pairs.agreement(args.agreement_samples, of_first=pairs_seen))
    frozen = [model.dual_encoder, *([model.language_model] if args.freeze_language_model else [])]
    # Connectors draw different numbers as they start; adapters and dropout must not.
    set_seed(run.seed)
    adapted = None
    if args.lora_rank:
        adapted = add_lora(model, rank=args.lora_rank, alpha=args.lora_alpha, dropout=args.lora_dropout)
    student = FeatureStudent(adapted or model)
    trainable = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
    summary = train(
        accelerator,
        student,
        pairs,
        FeatureCollator(processor),
        train_args,
        partial(TGQFormerTask, weights=run.system.weights(setup.losses)),
        num_workers=setup.data.num_workers,
        frozen=frozen,
        fixed={"settings": settings},
    )
    # The pace of the session that ended the run stands for all of it: an interrupted one has several.
    pace = summary["history"][-1]["train/pairs_per_second"]
    told = {
        "steps": run.steps,
        "seconds": pairs_seen / pace,
        "pairs_per_second": pace,
        "loss": summary["history"][-1]["train/loss"],
        "trainable": trainable,
    }
    return (model if adapted is None else adapted.merge_and_unload()), told


def _backbone_rate(args: TrainArguments, rate: float) -> float:
    """The language model's rate beside the connector's, in the recipe's ratio."""
    return rate * args.backbone_lr / args.head_lr
