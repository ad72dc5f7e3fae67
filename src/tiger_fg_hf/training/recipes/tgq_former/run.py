"""Train TGQ-Former.

    accelerate launch -m tiger_fg_hf.training.recipes.tgq_former.run [recipe.yaml] [--flag VALUE ...]

With adapters (`--lora_rank`), the folder of the run holds the merged model, which `from_pretrained` reads, and its
subfolder `adapters` holds the adapters with the connector. `peft.PeftModel.from_pretrained(base, "RUN/adapters")`
loads them onto their base: `TGQFormerModel.from_backbones` of the same encoders, `model_config` and
`matched_connector`, or the `--model` that the run started from.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast
from torch import nn

from ....data.tgq_former_collator import TGQFormerCollator
from ....evaluation.tgq_former import pair_metrics
from ....objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask
from ....objectives.tgq_former_student import TGQFormerStudent
from ...arguments import parse_recipe
from ...launch import start_cpu_processes
from ...loop import build_accelerator
from ...lora import add_lora
from ..catalogs import build_eval_catalog, check_eval_rows, check_training_rows
from ..listings import ListingArguments, build_eval_listings, build_listing_catalog, build_listing_pairs
from ..session import Evaluate, RunPlan, describe_losses, run_plan
from .arguments import ARGUMENTS
from .build import build_tgq_former, listing_agreement


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Train TGQ-Former on pairs of listings of the same product.

    Args:
        argv: Command line; `sys.argv[1:]` by default.

    Returns:
        The summary that `train_summary.json` holds.
    """
    model_args, data, weights, args = parse_recipe(
        ARGUMENTS, argv, description="Train TGQ-Former on pairs of listings of the same product."
    )
    data.use_saved_columns(model_args.model)
    accelerator = build_accelerator(args)
    model, processor = build_tgq_former(model_args, data)
    with accelerator.main_process_first():
        rows = build_listing_catalog(data, seed=args.seed)
    catalog = check_training_rows(accelerator, rows, data, processor)
    pairs = build_listing_pairs(catalog.rows, data, seed=args.seed)
    if model_args.agreement_samples and model_args.model is None and model.metadata_gate is not None:
        model.to(accelerator.device)
        # Broadcast, so that rounding does not make the processes differ.
        agreement = broadcast(listing_agreement(model, processor, pairs, model_args.agreement_samples))
        model.calibrate_agreement(agreement)
    frozen = [model.dual_encoder, *([model.language_model] if model_args.freeze_language_model else [])]
    adapted = None
    if model_args.lora_rank:
        adapted = add_lora(
            model, rank=model_args.lora_rank, alpha=model_args.lora_alpha, dropout=model_args.lora_dropout
        )

    def save(folder: Path) -> nn.Module:
        merged = model
        if adapted is not None:
            adapted.save_pretrained(str(folder / "adapters"))
            # peft writes a model card template there.
            (folder / "adapters" / "README.md").unlink(missing_ok=True)
            merged = adapted.merge_and_unload()
        merged.save_pretrained(folder)
        processor.save_pretrained(folder)
        return merged

    plan = RunPlan(
        method="TGQ-Former",
        student=TGQFormerStudent(adapted or model),
        processor=processor,
        pairs=pairs,
        collator=TGQFormerCollator(processor),
        make_task=partial(TGQFormerTask, weights=weights),
        description=describe_losses(weights.active(), left_out_losses(model.config, weights)),
        save=save,
        build_evaluation=partial(build_evaluation, data, processor),
        frozen=frozen,
    )
    return run_plan(accelerator, plan, catalog, data, args, (model_args, weights))


def left_out_losses(config: Any, weights: TGQFormerLossWeights) -> dict[str, str]:
    """Find the losses that are asked for but cannot be computed with a connector, with the reason."""
    if "rr" not in weights.active() or (config.connector == "tgq_former" and config.num_metadata_queries):
        return {}
    return {"rr": "the connector does not have two streams of queries"}


def build_evaluation(data: ListingArguments, processor: Any) -> Evaluate:
    """Make the pairs to evaluate on, and return a function that evaluates a model."""
    rows = check_eval_rows(build_eval_catalog(data, image_size=data.image_size), data, processor)
    pairs = build_eval_listings(rows, data)
    listings = [pairs[row] for row in range(len(pairs))]

    def evaluate(model: Any) -> Mapping[str, float]:
        return pair_metrics(model, processor, listings)

    return evaluate


if __name__ == "__main__" and not start_cpu_processes(__spec__.name, sys.argv[1:]):
    main()
