r"""Time the data loader and the training step separately: the loader must not slow down training.

    python -m benchmarks.micro.loader examples/recipes/abo-deit-tiny.yaml --data abo/train.parquet \
        --clutter clutter.parquet --vision VISION --text TEXT

Takes the arguments of `examples/train.py`. The loader runs without worker processes: decoding, query synthesis,
mosaics and collation. The step is forward, losses, backward and optimizer on prepared batches, on the available
device. Prints medians per pair, and exits with 1 if the loader takes more than 25% of the time of the step.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed

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

BATCHES = 8
LIMIT = 0.25


def median_seconds(action: Callable[[Any], Any], values: Iterable[Any]) -> tuple[float, list[Any]]:
    """Return the median time of an action without its first call, and all results."""
    times, results = [], []
    for value in values:
        started = time.perf_counter()
        results.append(action(value))
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), results


def main(argv: list[str] | None = None) -> int:
    """Print the medians; return 1 if the loader is too slow."""
    model_args, data_args, train_args, losses = parse_tiger_fg_arguments(argv)
    set_seed(train_args.seed)
    accelerator = Accelerator(mixed_precision=train_args.mixed_precision)
    catalog = build_catalog(data_args, image_size=model_args.image_size, seed=train_args.seed)
    model, processor = build_model_and_processor(model_args, catalog)
    hard_texts = losses.student_outputs().mismatched
    pairs = build_pairs(
        catalog,
        data_args,
        image_size=picture_size(model_args, losses),
        query_size=model_args.query_image_size,
        seed=train_args.seed,
        hard_texts=hard_texts,
        close_views=losses.student_outputs().close,
    )
    sampler = EpochBatchSampler(
        len(pairs),
        train_args.batch_size,
        BATCHES,
        seed=train_args.seed,
        **build_sampling(pairs, data_args, batch_size=train_args.batch_size, seed=train_args.seed),
    )
    collate = build_collator(processor, pairs, full_size=bool(losses.glance))
    loader, batches = median_seconds(lambda keys: collate(pairs.__getitems__(keys)), sampler)

    freeze(model, text=model_args.freeze_text, stem=model_args.freeze_stem)
    student = build_student(model, losses, freeze_text=model_args.freeze_text).train()
    if model_args.freeze_text:
        model.text_model.eval()
    with TemporaryDirectory() as folder:
        teacher = build_teacher(catalog, model_args, losses, data_args.feature_cache or Path(folder))
        student, optimizer = accelerator.prepare(
            student,
            build_optimizer(
                student,
                backbone_lr=train_args.backbone_lr,
                head_lr=train_args.head_lr,
                weight_decay=train_args.weight_decay,
            ),
        )
        task = TigerFGTask(student, losses, teacher=teacher)

        def step(batch: dict[str, Any]) -> None:
            accelerator.backward(task(batch)["loss"])
            optimizer.step()
            optimizer.zero_grad()
            if torch.cuda.is_available():
                torch.cuda.synchronize()

        # Twice, because a frozen text encoder runs only the first time.
        ready = [send_to_device(batch, accelerator.device) for batch in batches]
        median_seconds(step, ready)
        training, _ = median_seconds(step, ready)

    share = loader / training
    for name, seconds in (("loader", loader), ("step", training)):
        print(f"{name:6} {1000 * seconds / train_args.batch_size:6.2f} ms a pair, median of {BATCHES - 1} batches")
    threads = torch.get_num_threads()
    print(f"loader / step {share:.1%} (limit {LIMIT:.0%}), batch {train_args.batch_size}, {threads} threads")
    return int(share > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
