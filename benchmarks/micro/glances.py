"""Time what close views and the second glance cost, in training and in use.

    python -m benchmarks.micro.glances examples/recipes/abo-two-glances.yaml --data CATALOG --clutter CLUTTER \
        --vision VISION --text TEXT --output_dir runs/glances

Prints the time of a training step with all losses against that of late fusion and of one glance on the same pairs, and
the time of the item tower with two glances against one. Systems take turns, so that all meet the same load of the
machine; figures are medians of the ratios. `runs/glances/glances.json` holds them.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.layers import freeze
from tiger_fg_hf.training.optimizer import build_optimizer
from tiger_fg_hf.training.recipes.tiger_fg.arguments import parse_tiger_fg_arguments
from tiger_fg_hf.training.recipes.tiger_fg.build import (
    build_catalog,
    build_collator,
    build_model_and_processor,
    build_pairs,
    build_sampling,
    build_student,
    build_teacher,
    picture_size,
)
from tiger_fg_hf.training.sampler import EpochBatchSampler

from ..harness.data import first_rows
from ..immr.systems import BY_NAME, OURS

STEPS, ITEMS, ROWS = 12, 12, 1500
SYSTEMS = {"two glances": OURS, "one glance": "tiger_fg-one_glance", "late fusion": "late_fusion-mosaics"}


def alternate(actions: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Run all actions in turns; return the seconds of each round, without the first."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for index in range(rounds + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            action(index)
            seconds[name].append(time.perf_counter() - started)
    return {name: values[1:] for name, values in seconds.items()}


def ratios(seconds: Mapping[str, Sequence[float]], names: Sequence[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """Return the median ratio of pairs of actions, with its quartiles."""
    figures = {}
    for one, other in names:
        each = [first / second for first, second in zip(seconds[one], seconds[other], strict=True)]
        low, middle, high = statistics.quantiles(each, n=4)
        figures[f"{one} / {other}"] = {"median": middle, "lower quartile": low, "upper quartile": high}
    return figures


def training_step(name: str, argv: list[str], folder: Path) -> Callable[[int], None]:
    """Return a function that trains a system for one step on the next of the pairs that all systems share."""
    model_args, data, args, losses = parse_tiger_fg_arguments(argv)
    set_seed(0)
    system = BY_NAME[name]
    weights = system.weights(losses)
    catalog = first_rows(build_catalog(data, image_size=picture_size(model_args, losses), seed=0), ROWS)
    model, processor = build_model_and_processor(model_args, catalog)
    model = system.start(model)
    if model.config.num_glances == 1:
        processor.glance_scale = None
    outputs = weights.student_outputs()
    pairs = build_pairs(
        catalog,
        data,
        image_size=picture_size(model_args, losses),
        query_size=model_args.query_image_size,
        seed=0,
        hard_texts=outputs.mismatched,
        close_views=outputs.close,
    )
    sampling = build_sampling(pairs, data, batch_size=args.batch_size, seed=0)
    sampler = EpochBatchSampler(len(pairs), args.batch_size, 4, seed=0, **sampling)
    collate = build_collator(processor, pairs, full_size=bool(weights.glance))
    batches = [collate(pairs.__getitems__(keys)) for keys in sampler]
    freeze(model, text=model_args.freeze_text, stem=model_args.freeze_stem)
    student = build_student(model, weights, freeze_text=model_args.freeze_text).train()
    if model_args.freeze_text:
        model.text_model.eval()
    teacher = build_teacher(catalog, model_args, weights, folder)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    optimizer = build_optimizer(
        student, backbone_lr=args.backbone_lr, head_lr=args.head_lr, weight_decay=args.weight_decay
    )
    student, optimizer = accelerator.prepare(student, optimizer)
    task = TigerFGTask(student, weights, teacher=teacher)

    def step(index: int) -> None:
        accelerator.backward(task(batches[index % len(batches)])["loss"])
        optimizer.step()
        optimizer.zero_grad()

    for index in range(len(batches)):  # a frozen text encoder runs only the first time
        step(index)
    return step


def item_tower(num_glances: int, argv: list[str], batch_size: int) -> Callable[[int], Any]:
    """Return a function that embeds a batch of pictures with texts of 48 tokens."""
    model_args, data, _, losses = parse_tiger_fg_arguments(argv)
    set_seed(0)
    catalog = first_rows(build_catalog(data, image_size=picture_size(model_args, losses), seed=0), ROWS)
    model, processor = build_model_and_processor(model_args, catalog)
    tower = (model if num_glances == 2 else BY_NAME["tiger_fg-one_glance"].start(model)).towers()[1].eval()
    side = processor.item_size["height"] if num_glances == 2 else model_args.image_size
    pixels = torch.rand(batch_size, 3, side, side)
    tokens = torch.randint(1, tower.config.text_config.vocab_size, (batch_size, 48))

    def embed(index: int) -> Any:
        with torch.no_grad():
            return tower(pixels, tokens, torch.ones_like(tokens)).embeds

    return embed


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Print and save the ratios."""
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parse_tiger_fg_arguments(argv)[2]
    with TemporaryDirectory() as folder:
        steps = {label: training_step(name, argv, Path(folder)) for label, name in SYSTEMS.items()}
    seconds = alternate(steps, STEPS)
    figures: dict[str, Any] = {
        "training step": ratios(seconds, [("two glances", "late fusion"), ("one glance", "late fusion")])
    }
    for batch_size in (1, 16):
        towers = {f"{count}": item_tower(count, argv, batch_size) for count in (2, 1)}
        figures[f"item tower, batch {batch_size}"] = ratios(alternate(towers, ITEMS), [("2", "1")])
    for part, pairs in figures.items():
        for names, figure in pairs.items():
            quartiles = f"quartiles {figure['lower quartile']:.2f} and {figure['upper quartile']:.2f}"
            print(f"{part}, {names}: {figure['median']:.2f} ({quartiles})")
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    settings = {"threads": torch.get_num_threads(), "pairs": args.batch_size, "rounds": STEPS, "seed": 0}
    (output / "glances.json").write_text(json.dumps({**settings, "figures": figures}, indent=1) + "\n")
    return figures


if __name__ == "__main__":
    main()
