"""One run of the IMMR benchmark: a system trained with one seed at one learning rate, and scored."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from tiger_fg_hf.data.tiger_fg_collator import TigerFGCollator
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GALLERIES, IMMRScores, query_metrics, score_immr
from tiger_fg_hf.models.modeling_tiger_fg import TigerFGModel
from tiger_fg_hf.objectives.teacher import TeacherFeatures
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.arguments import TrainArguments
from tiger_fg_hf.training.layers import freeze
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.recipes.tiger_fg.build import (
    build_model_and_processor,
    build_sampling,
    build_student,
    build_teacher,
)

from ..harness.cost import measure_cost
from ..harness.folder import claim_folder, is_finished
from .arguments import Setup
from .data import BenchmarkData, data_settings
from .results import Result, load_result, save_result
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
        seed: of weights, order and augmentation.
        rate: learning rate of the encoders; None where the grid has not told it yet, or nothing is trained.
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
    """Trials of some systems, where they are trained, at every rate; ablations learn at TIGER-FG's."""
    steps = setup.bench.grid_steps or max(1, setup.train.max_steps // 5)
    seed, rates = setup.bench.seed_numbers[0], setup.bench.rates
    if len(rates) == 1:
        return
    for name in dict.fromkeys(map(_rate_source, names)):
        if BY_NAME[name].trained:
            for rate in rates:
                yield Run(BY_NAME[name], seed, rate, steps, "validation", f"grid/{name}-lr{rate:g}")


def final_runs(setup: Setup, names: Iterable[str]) -> Iterator[Run]:
    """Runs of some systems that are scored on the test benchmark."""
    short = setup.bench.ablation_steps or max(1, setup.train.max_steps // 2)
    for seed in setup.bench.seed_numbers:
        for name in names:
            system = BY_NAME[name]
            steps = 0 if not system.trained else short if system in ABLATIONS else setup.train.max_steps
            rate = selected_rate(setup, name) if system.trained else None
            yield Run(system, seed, rate, steps, "test", f"{name}-seed{seed}")


def grid_scores(setup: Setup, name: str) -> dict[float, float]:
    """For each rate that a system has been tried at: mean Recall@1 of both galleries of the validation benchmark."""
    scores = {}
    for run in grid_runs(setup, [name]):
        if run.rate is not None and is_finished(setup.output / run.name):
            summary = load_result(setup.output / run.name).summary
            scores[run.rate] = sum(summary[gallery]["recall@1"] for gallery in GALLERIES) / len(GALLERIES)
    return scores


def selected_rate(setup: Setup, name: str) -> float | None:
    """The rate that a system learns at: the one there is, or the best of the grid once all of it is there."""
    rates = setup.bench.rates
    if len(rates) == 1:
        return rates[0]
    scores = grid_scores(setup, name)
    return max(scores, key=lambda rate: scores[rate]) if len(scores) == len(rates) else None


def _rate_source(name: str) -> str:
    return OURS if BY_NAME[name] in ABLATIONS else name


def run_settings(setup: Setup, data: BenchmarkData, run: Run) -> dict[str, Any]:
    """Everything that a run's result depends on."""
    system = run.system
    ratio = setup.train.head_lr / setup.train.backbone_lr
    train_args = {name: value for name, value in asdict(setup.train).items() if name not in _NOT_COMPARED}
    settings = {
        "system": system.name,
        "model": {"class": system.model.__name__, "config": dict(system.config), **asdict(setup.model)},
        "losses": asdict(system.weights(setup.losses)),
        "teacher": (setup.model.teacher or setup.model.vision) if system.weights(setup.losses).needs_teacher else None,
        "mosaics": system.mosaics,
        "true_boxes": system.true_boxes,
        "seed": run.seed,
        "steps": run.steps,
        "rate": run.rate,
        "head_rate": None if run.rate is None else run.rate * ratio,
        "training": train_args,
        "data": data_settings(setup, data),
        "benchmark": {"name": run.benchmark, "content": data.benchmark(run.benchmark).meta["content"]},
    }
    return json.loads(json.dumps(settings))  # as it is read again


def execute(setup: Setup, data: BenchmarkData, run: Run) -> None:
    """Trains and scores; goes on from a checkpoint where one is, and does nothing where the result is there."""
    folder = setup.output / run.name
    if run.system.trained and run.rate is None:
        raise ValueError(f"{run.name} has no learning rate: the trials of the grid come first.")
    settings = run_settings(setup, data, run)
    claim_folder(folder, settings)
    if is_finished(folder):
        return
    train_args = replace(
        setup.train,
        output_dir=str(folder),
        seed=run.seed,
        max_steps=max(run.steps, 1),
        backbone_lr=run.rate or setup.train.backbone_lr,
        head_lr=settings["head_rate"] or setup.train.head_lr,
        resume="auto",
        tracker="none",
        progress=False,
    )
    accelerator = build_accelerator(train_args)  # also sets the seed of the weights
    model, processor = build_model_and_processor(setup.model, data.training)
    model = run.system.start(model)
    trained = folder / "model" / _TRAINED
    if run.system.trained and not trained.is_file():
        summary = _train(setup, data, run, train_args, accelerator, model, processor, settings)
        model.save_pretrained(trained.parent)
        processor.save_pretrained(trained.parent)
        trained.write_text(json.dumps(summary))  # last: it marks the folder as whole
    elif run.system.trained:
        model = run.system.model.from_pretrained(
            trained.parent, dtype=torch.float32, attn_implementation=setup.model.attn_implementation
        )
    model = model.to(accelerator.device).eval()
    benchmark = data.benchmark(run.benchmark)
    scores = score_model(setup, model, processor, benchmark, true_boxes=run.system.true_boxes)
    save_result(
        folder,
        Result(
            settings,
            summarize(benchmark, scores),
            scores,
            measure_towers(model, processor, benchmark, reads_text=run.system.reads_text),
            json.loads(trained.read_text()) if run.system.trained else {},
        ),
    )
    accelerator.end_training()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if run.benchmark == "validation":
        shutil.rmtree(folder / "model", ignore_errors=True)


def teacher_features(setup: Setup, data: BenchmarkData) -> TeacherFeatures | None:
    """The frozen teacher's features of the training catalog, made once for all runs; None without a teacher."""
    folder = setup.output / "data" / "teacher"
    return build_teacher(data.training, setup.model, setup.losses, folder, fingerprint=data.training_fingerprint)


def score_model(
    setup: Setup, model: TigerFGModel, processor: Any, benchmark: IMMRBenchmark, *, true_boxes: bool = False
) -> IMMRScores:
    return score_immr(
        model,
        processor,
        benchmark,
        true_boxes=true_boxes,
        batch_size=setup.bench.eval_batch_size,
        autocast_dtype={"bf16": torch.bfloat16, "fp16": torch.float16}.get(setup.train.mixed_precision),
    )


def summarize(benchmark: IMMRBenchmark, scores: IMMRScores) -> dict[str, dict[str, float]]:
    """Mean metrics of each gallery."""
    return {
        gallery: {name: float(values.mean()) for name, values in query_metrics(benchmark, found).items()}
        for gallery, found in scores.galleries.items()
    }


def measure_towers(
    model: TigerFGModel, processor: Any, benchmark: IMMRBenchmark, *, reads_text: bool = True
) -> dict[str, dict[str, float]]:
    """Cost of embedding one query, and one item with a text of median length."""
    texts = sorted((processor.render_text(record) for record in benchmark.records()), key=len)
    inputs = processor(images=benchmark.normal[0]["image"], text=[texts[len(texts) // 2]], return_tensors="pt")
    crop = processor(images=benchmark.queries[0]["query_image"], return_tensors="pt")["pixel_values"].to(model.device)
    inputs = inputs.to(model.device)
    pixels = inputs.pop("pixel_values")
    texts_read = dict(inputs) if reads_text else {}
    forwards = {
        "query": lambda: model.get_query_features(crop),
        "item": lambda: model.get_item_features(pixels, **texts_read),
    }
    return {name: measure_cost(model, forward)._asdict() for name, forward in forwards.items()}


def _weights_digest(module: torch.nn.Module) -> str:
    """Hash of all weights: tokens of one text encoder are not those of another."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def _train(
    setup: Setup,
    data: BenchmarkData,
    run: Run,
    train_args: TrainArguments,
    accelerator: Accelerator,
    model: TigerFGModel,
    processor: Any,
    settings: dict[str, Any],
) -> dict[str, float]:
    system, weights = run.system, run.system.weights(setup.losses)
    frozen = freeze(model, text=setup.model.freeze_text or not system.reads_text, stem=setup.model.freeze_stem)
    student = build_student(model, weights, freeze_text=setup.model.freeze_text and system.reads_text)
    encoder = _weights_digest(model.text_model)
    tokens = setup.output / "data" / f"text-tokens-{setup.train.mixed_precision}-{encoder}.safetensors"
    if student.frozen_text is not None and tokens.is_file():
        student.frozen_text.load(tokens)
    pairs = data.pairs(
        seed=run.seed,
        mosaics=system.mosaics,
        hard_texts=weights.student_terms().mismatched,
        true_boxes=system.true_boxes,
    )
    teacher = teacher_features(setup, data) if weights.needs_teacher else None
    summary = train(
        accelerator,
        student,
        pairs,
        TigerFGCollator(processor),
        train_args,
        partial(TigerFGTask, weights=weights, teacher=teacher),
        num_workers=setup.data.num_workers,
        frozen=frozen,
        sampling=build_sampling(
            pairs, data.arguments(mosaics=system.mosaics), batch_size=train_args.batch_size, seed=run.seed
        ),
        fixed={"settings": settings},
    )
    if student.frozen_text is not None and not tokens.is_file():
        student.frozen_text.save(tokens)
    # The pace of the session that ended the run stands for all of it: an interrupted one has several.
    pace = summary["history"][-1]["train/pairs_per_second"]
    pairs_seen = run.steps * train_args.batch_size * train_args.gradient_accumulation_steps
    return {"steps": run.steps, "seconds": pairs_seen / pace, "pairs_per_second": pace}
