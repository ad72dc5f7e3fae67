"""
Trains the image-text dual encoder that TGQ-Former keeps frozen, on pictures of listings and their titles.

    accelerate launch examples/train_dual_encoder.py --data items.parquet --vision VISION --text TEXT

A pretrained one (CLIP, Chinese-CLIP, SigLIP) needs no training. `--help` lists the arguments; those of evaluation are
for `train_tgq_former.py` and are refused here.
"""

import sys
from dataclasses import asdict
from functools import partial

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.data.tgq_former_collator import TGQFormerCollator
from tiger_fg_hf.objectives.dual_encoder import DualEncoderStudent
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask
from tiger_fg_hf.training.arguments import parse_recipe
from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.loop import build_accelerator, train
from tiger_fg_hf.training.recipes.dual_encoder.arguments import DualEncoderArguments, DualEncoderTrainArguments
from tiger_fg_hf.training.recipes.dual_encoder.build import build_dual_encoder, frozen_encoders
from tiger_fg_hf.training.recipes.listings import (
    ListingArguments,
    build_listing_catalog,
    build_listing_pairs,
    listing_settings,
    with_titles,
)


def main(argv: list[str] | None = None) -> dict:
    kinds = (DualEncoderArguments, ListingArguments, DualEncoderTrainArguments)
    model_args, data_args, train_args = parse_recipe(kinds, argv)
    if train_args.eval_every or data_args.eval_data is not None:
        raise ValueError("--eval_every and --eval_data are for TGQ-Former: a dual encoder is not evaluated.")
    accelerator = build_accelerator(train_args)
    with accelerator.main_process_first():
        catalog = with_titles(build_listing_catalog(data_args, seed=train_args.seed))
    fingerprint = catalog_fingerprint(catalog)
    model, processor = build_dual_encoder(model_args, data_args, catalog)
    summary = train(
        accelerator,
        DualEncoderStudent(model),
        build_listing_pairs(catalog, data_args, seed=train_args.seed, first_alone=True),
        TGQFormerCollator(processor),
        train_args,
        partial(TGQFormerTask, weights=TGQFormerLossWeights(rr=0.0)),
        num_workers=data_args.num_workers,
        frozen=frozen_encoders(model_args, model),
        fixed={
            "catalog": fingerprint,
            "listings": listing_settings(data_args),
            "max_title_length": processor.max_title_length,
            "frozen": [model_args.freeze_text, model_args.freeze_vision],
        },
        facts={
            "data": {"fingerprint": fingerprint, "rows": len(catalog)},
            "arguments": {k: v for part in (model_args, data_args, train_args) for k, v in asdict(part).items()},
        },
    )
    if accelerator.is_main_process:
        model.save_pretrained(train_args.output_dir)
        processor.title_tokenizer.save_pretrained(train_args.output_dir)
        processor.image_processor.save_pretrained(train_args.output_dir)
        print(f"{summary['steps']} steps in {summary['seconds'] / 60:.1f} minutes; saved to {train_args.output_dir}")
    accelerator.end_training()
    return summary


if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
