"""Train TIGER-FG.

    accelerate launch -m tiger_fg_hf.training.recipes.tiger_fg.run [recipe.yaml] [--flag VALUE ...]

`--help` lists the arguments.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ....catalog.records import CatalogRecords, has_every_query
from ....data.catalog_queries import synthesize_queries
from ....evaluation.retrieval import evaluate_retrieval
from ....objectives.tiger_fg import TigerFGTask
from ...launch import start_cpu_processes
from ...layers import freeze
from ...loop import build_accelerator
from ..catalogs import build_eval_catalog, check_eval_rows, check_training_rows
from ..session import Evaluate, RunPlan, run_plan
from .arguments import TigerFGDataArguments, parse_tiger_fg_arguments
from .build import (
    build_catalog,
    build_collator,
    build_model_and_processor,
    build_pairs,
    build_sampling,
    build_student,
    build_synthesizer,
    build_teacher,
    picture_size,
    query_side,
)
from .losses import describe_training


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Train TIGER-FG.

    Args:
        argv: Command line; `sys.argv[1:]` by default.

    Returns:
        The summary that `train_summary.json` holds.
    """
    model_args, data, args, losses = parse_tiger_fg_arguments(argv)
    data.use_saved_columns(model_args.model)
    accelerator = build_accelerator(args)
    with accelerator.main_process_first():
        rows = build_catalog(data, image_size=picture_size(model_args, losses), seed=args.seed)
    model, processor = build_model_and_processor(model_args, rows, columns=data.column_mapping)
    catalog = check_training_rows(accelerator, rows, data, processor)
    image_size = processor.image_processor.size["height"]
    full_size = losses.student_outputs().joined
    pairs = build_pairs(
        catalog.rows,
        data,
        image_size=processor.item_size["height"] if full_size else image_size,
        query_size=query_side(processor),
        seed=args.seed,
        hard_texts=losses.student_outputs().mismatched,
        close_views=losses.student_outputs().close,
    )
    with accelerator.main_process_first():
        folder = data.feature_cache or Path(args.output_dir, "teacher")
        teacher = build_teacher(catalog.rows, model_args, losses, folder, fingerprint=catalog.fingerprint)

    def save(folder: Path) -> nn.Module:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return model

    frozen = freeze(model, text=model_args.freeze_text, stem=model_args.freeze_stem)
    plan = RunPlan(
        method="TIGER-FG",
        student=build_student(model, losses, freeze_text=model_args.freeze_text),
        processor=processor,
        pairs=pairs,
        collator=build_collator(processor, pairs, full_size=full_size),
        make_task=partial(TigerFGTask, weights=losses, teacher=teacher),
        description=describe_training(model_args, losses, pairs),
        save=save,
        build_evaluation=partial(build_evaluation, data, processor, image_size=processor.item_size["height"]),
        frozen=frozen,
        sampling=build_sampling(pairs, data, batch_size=args.batch_size * accelerator.num_processes, seed=args.seed),
    )
    return run_plan(accelerator, plan, catalog, data, args, (model_args, losses))


def build_evaluation(data: TigerFGDataArguments, processor: Any, *, image_size: int) -> Evaluate:
    """Open the catalog to evaluate on, synthesize missing queries, and return a function that evaluates a model."""
    rows = build_eval_catalog(data, image_size=image_size, layout=data.drawn_layout)
    rows = check_eval_rows(rows, data, processor)
    items = CatalogRecords(rows)
    queries: Sequence[dict] = items
    if not has_every_query(rows):
        synthesizer = build_synthesizer(data.clutter, size=query_side(processor), difficulty=data.query_difficulty)
        queries = synthesize_queries(rows, synthesizer, seed=0)

    def evaluate(model: Any) -> Mapping[str, float]:
        query_model, item_model = model.towers()
        result = evaluate_retrieval(query_model, item_model, processor, queries, items, resamples=200)
        metrics = {name: interval.mean for name, interval in result.metrics.items()}
        return metrics if result.pointing is None else metrics | {"pointing": result.pointing.mean}

    return evaluate


if __name__ == "__main__" and not start_cpu_processes(__spec__.name, sys.argv[1:]):
    main()
