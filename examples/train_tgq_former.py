"""
Trains TGQ-Former on pairs of listings of the same product.

    accelerate launch examples/train_tgq_former.py --data items.parquet --dual_encoder CLIP --language_model MODEL
    accelerate launch examples/train_tgq_former.py examples/recipes/tgq-former-paper.yaml --data items.parquet

With adapters (`--lora_rank`), the run's `adapters` folder holds them with the connector, and the folder itself the
merged model that `from_pretrained` reads. `peft.PeftModel.from_pretrained(base, "RUN/adapters")` takes the adapters
back onto their base: `TGQFormerModel.from_backbones` of the same encoders, `model_config` and `matched_connector`, or
the `--model` that the run began with. `--help` lists the arguments.
"""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from accelerate.utils import broadcast

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.data.tgq_former_collator import TGQFormerCollator
from tiger_fg_hf.evaluation.tgq_former import pair_metrics
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.training.arguments import parse_recipe
from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.lora import add_lora
from tiger_fg_hf.training.recipes.listings import (
    ListingArguments,
    build_eval_listings,
    build_listing_catalog,
    build_listing_pairs,
    listing_settings,
)
from tiger_fg_hf.training.recipes.tgq_former.arguments import TGQFormerArguments, TGQFormerTrainArguments
from tiger_fg_hf.training.recipes.tgq_former.build import build_tgq_former, listing_agreement


def main(argv: list[str] | None = None) -> dict:
    kinds = (TGQFormerArguments, ListingArguments, TGQFormerTrainArguments, TGQFormerLossWeights)
    model_args, data_args, train_args, weights = parse_recipe(kinds, argv)
    accelerator = build_accelerator(train_args)
    model, processor = build_tgq_former(model_args, data_args)
    with accelerator.main_process_first():
        catalog = build_listing_catalog(data_args, seed=train_args.seed)
    fingerprint = catalog_fingerprint(catalog)
    pairs = build_listing_pairs(catalog, data_args, seed=train_args.seed)
    if model_args.agreement_samples and model_args.model is None and model.metadata_gate is not None:
        model.to(accelerator.device)
        # What the first process measured, so that no rounding sets the others apart.
        model.calibrate_agreement(broadcast(listing_agreement(model, processor, pairs, model_args.agreement_samples)))
    frozen = [model.dual_encoder, *([model.language_model] if model_args.freeze_language_model else [])]
    adapted = None
    if model_args.lora_rank:
        adapted = add_lora(
            model, rank=model_args.lora_rank, alpha=model_args.lora_alpha, dropout=model_args.lora_dropout
        )

    evaluate = None
    if train_args.eval_every and accelerator.is_main_process:
        eval_pairs = build_eval_listings(data_args)
        held_out = [eval_pairs[row] for row in range(len(eval_pairs))]

        def evaluate(model):
            return {f"eval/{name}": value for name, value in pair_metrics(model, processor, held_out).items()}

    arguments = {k: v for part in (model_args, data_args, train_args, weights) for k, v in asdict(part).items()}
    summary = train(
        accelerator,
        TGQFormerStudent(adapted or model),
        pairs,
        TGQFormerCollator(processor),
        train_args,
        partial(TGQFormerTask, weights=weights),
        num_workers=data_args.num_workers,
        evaluate=evaluate,
        frozen=frozen,
        fixed={
            "catalog": fingerprint,
            "listings": listing_settings(data_args),
            "texts": [processor.instruction, processor.max_length, processor.max_title_length],
            "weights": asdict(weights),
            "adapters": [model_args.lora_rank, model_args.lora_alpha, model_args.lora_dropout],
            "freeze_language_model": model_args.freeze_language_model,
        },
        facts={
            "data": {"fingerprint": fingerprint, "rows": len(catalog)},
            "arguments": arguments,
        },
    )
    if accelerator.is_main_process:
        if adapted is not None:
            adapted.save_pretrained(Path(train_args.output_dir, "adapters"))
            # Of which peft leaves a form to be filled in.
            Path(train_args.output_dir, "adapters", "README.md").unlink(missing_ok=True)
            model = adapted.merge_and_unload()
        model.save_pretrained(train_args.output_dir)
        processor.save_pretrained(train_args.output_dir)
        summary["pairs"] = summary["steps"] * train_args.batch_size * train_args.gradient_accumulation_steps
        summary["pairs"] *= accelerator.num_processes
        summary["parameters"] = model.num_parameters()
        summary["arguments"] = arguments
        Path(train_args.output_dir, "train_summary.json").write_text(json.dumps(summary, indent=2))
        print(f"{summary['steps']} steps in {summary['seconds'] / 60:.1f} minutes; saved to {train_args.output_dir}")
    accelerator.end_training()
    return summary


if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
