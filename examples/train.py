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
from pathlib import Path

from tiger_fg_hf import evaluate_retrieval
from tiger_fg_hf.data.collator import PairCollator
from tiger_fg_hf.data.records import CatalogRecords, synthesize_queries
from tiger_fg_hf.training.arguments import parse_arguments
from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.setup import (
    build_catalog,
    build_eval_catalog,
    build_model_and_processor,
    build_pairs,
    build_synthesizer,
)


def main(argv: list[str] | None = None) -> dict:
    model_args, data_args, train_args = parse_arguments(argv)
    accelerator = build_accelerator(train_args)
    with accelerator.main_process_first():
        catalog = build_catalog(data_args, image_size=model_args.image_size, seed=train_args.seed)
    model, processor = build_model_and_processor(model_args, catalog)
    image_size = processor.image_processor.size["height"]
    pairs = build_pairs(catalog, data_args, image_size=image_size, seed=train_args.seed)

    evaluate = None
    if train_args.eval_every and accelerator.is_main_process:
        held_out = build_eval_catalog(data_args, image_size=image_size)
        items = CatalogRecords(held_out)
        queries: Sequence[dict] = items
        if "query_image" not in held_out.column_names:
            queries = synthesize_queries(held_out, build_synthesizer(data_args.clutter, size=image_size), seed=0)

        def evaluate(model):
            result = evaluate_retrieval(*model.towers(), processor, queries, items, resamples=200)
            metrics = {f"eval/{name}": interval.mean for name, interval in result.metrics.items()}
            return metrics if result.pointing is None else metrics | {"eval/pointing": result.pointing.mean}

    summary = train(
        accelerator,
        model,
        pairs,
        PairCollator(processor),
        train_args,
        num_workers=data_args.num_workers,
        evaluate=evaluate,
        frozen=("text_model",) if model_args.freeze_text else (),
    )
    if accelerator.is_main_process:
        pairs_per_step = train_args.batch_size * train_args.gradient_accumulation_steps * accelerator.num_processes
        model.save_pretrained(train_args.output_dir)
        processor.save_pretrained(train_args.output_dir)
        summary["pairs"] = summary["steps"] * pairs_per_step
        summary["parameters"] = model.num_parameters()
        summary["arguments"] = {k: v for part in (model_args, data_args, train_args) for k, v in asdict(part).items()}
        Path(train_args.output_dir, "train_summary.json").write_text(json.dumps(summary, indent=2))
        print(f"{summary['steps']} steps in {summary['seconds'] / 60:.1f} minutes; saved to {train_args.output_dir}")
    accelerator.end_training()
    return summary


if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
