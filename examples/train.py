"""
Trains TIGER-FG on a catalog.

    accelerate launch examples/train.py examples/recipes/tiger-fg-tiny.yaml
    accelerate launch examples/train.py --data items.parquet --vision VISION --text TEXT --output_dir runs/mine

The last folder is one that `from_pretrained` reads; `--help` lists the arguments.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tiger_fg_hf import evaluate_retrieval
from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.records import CatalogRecords, has_every_query
from tiger_fg_hf.data.catalog_queries import synthesize_queries
from tiger_fg_hf.data.tiger_fg_collator import TigerFGCollator
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.layers import freeze
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.recipes.catalogs import build_catalog, build_eval_catalog
from tiger_fg_hf.training.recipes.tiger_fg.arguments import parse_tiger_fg_arguments
from tiger_fg_hf.training.recipes.tiger_fg.build import (
    build_model_and_processor,
    build_pairs,
    build_sampling,
    build_student,
    build_synthesizer,
    build_teacher,
    query_side,
)


def main(argv: list[str] | None = None) -> dict:
    model_args, data_args, train_args, losses = parse_tiger_fg_arguments(argv)
    accelerator = build_accelerator(train_args)
    with accelerator.main_process_first():
        catalog = build_catalog(data_args, image_size=model_args.image_size, seed=train_args.seed)
    model, processor = build_model_and_processor(model_args, catalog)
    image_size = processor.image_processor.size["height"]
    terms = losses.student_terms()
    pairs = build_pairs(
        catalog,
        data_args,
        image_size=image_size,
        query_size=query_side(processor),
        seed=train_args.seed,
        hard_texts=terms.mismatched,
    )
    fingerprint = catalog_fingerprint(catalog)
    with accelerator.main_process_first():
        teacher = build_teacher(
            catalog,
            model_args,
            losses,
            data_args.feature_cache or Path(train_args.output_dir, "teacher"),
            fingerprint=fingerprint,
        )

    evaluate = None
    if train_args.eval_every and accelerator.is_main_process:
        held_out = build_eval_catalog(data_args, image_size=image_size)
        items = CatalogRecords(held_out)
        queries: Sequence[dict] = items
        if not has_every_query(held_out):
            synthesizer = build_synthesizer(
                data_args.clutter, size=query_side(processor), difficulty=data_args.query_difficulty
            )
            queries = synthesize_queries(held_out, synthesizer, seed=0)

        def evaluate(model):
            result = evaluate_retrieval(*model.towers(), processor, queries, items, resamples=200)
            metrics = {f"eval/{name}": interval.mean for name, interval in result.metrics.items()}
            return metrics if result.pointing is None else metrics | {"eval/pointing": result.pointing.mean}

    arguments = {k: v for part in (model_args, data_args, train_args, losses) for k, v in asdict(part).items()}
    frozen = freeze(model, text=model_args.freeze_text, stem=model_args.freeze_stem)
    summary = train(
        accelerator,
        build_student(model, losses, freeze_text=model_args.freeze_text),
        pairs,
        TigerFGCollator(processor),
        train_args,
        partial(TigerFGTask, weights=losses, teacher=teacher),
        num_workers=data_args.num_workers,
        evaluate=evaluate,
        frozen=frozen,
        sampling=build_sampling(
            pairs, data_args, batch_size=train_args.batch_size * accelerator.num_processes, seed=train_args.seed
        ),
        fixed={
            "catalog": fingerprint,
            "sizes": [image_size, query_side(processor)],
            "freeze_text": model_args.freeze_text,
            "freeze_stem": model_args.freeze_stem,
            "losses": asdict(losses),
            "num_hard_texts": data_args.num_hard_texts,
            "mosaics": [data_args.mosaic_share, data_args.mosaic_items, data_args.mosaic_area],
            "query_difficulty": data_args.query_difficulty,
            "pictures": [data_args.clutter, data_args.mosaic_overlays, data_args.cache_decoded],
            "processor": [processor.image_processor.resize_mode, processor.max_length],
            "teacher": (model_args.teacher or model_args.vision) if losses.needs_teacher else None,
            "batches": [data_args.hard_negatives, data_args.group_products],
        },
        facts={"data": {"fingerprint": fingerprint, "rows": len(catalog)}, "arguments": arguments},
    )
    if accelerator.is_main_process:
        pairs_per_step = train_args.batch_size * train_args.gradient_accumulation_steps * accelerator.num_processes
        model.save_pretrained(train_args.output_dir)
        processor.save_pretrained(train_args.output_dir)
        summary["pairs"] = summary["steps"] * pairs_per_step
        summary["parameters"] = model.num_parameters()
        summary["arguments"] = arguments
        Path(train_args.output_dir, "train_summary.json").write_text(json.dumps(summary, indent=2))
        print(f"{summary['steps']} steps in {summary['seconds'] / 60:.1f} minutes; saved to {train_args.output_dir}")
    accelerator.end_training()
    return summary


if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
