"""Train the image-text dual encoder that TGQ-Former keeps frozen.

    accelerate launch -m tiger_fg_hf.training.recipes.dual_encoder.run [recipe.yaml] [--flag VALUE ...]

`--help` lists the arguments.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ....data.tgq_former_collator import TGQFormerCollator
from ....objectives.dual_encoder_student import DualEncoderStudent
from ....objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask
from ...arguments import parse_recipe
from ...launch import start_cpu_processes
from ...loop import build_accelerator
from ..catalogs import check_training_rows
from ..listings import build_listing_catalog, build_listing_pairs, with_titles
from ..session import RunPlan, describe_losses, run_plan
from .arguments import ARGUMENTS
from .build import build_dual_encoder, frozen_encoders


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Train an image-text dual encoder on pictures of listings and their titles.

    Args:
        argv: Command line; `sys.argv[1:]` by default.

    Returns:
        The summary that `train_summary.json` holds.

    Raises:
        ValueError: If an evaluation is asked for, which only TGQ-Former has.
    """
    model_args, data, args = parse_recipe(
        ARGUMENTS,
        argv,
        description="Train the image-text dual encoder that TGQ-Former keeps frozen. A pretrained one (CLIP, "
        "Chinese-CLIP, SigLIP) needs no training.",
    )
    if args.eval_every or data.eval_data is not None:
        raise ValueError("--eval_every and --eval_data are for TGQ-Former: a dual encoder is not evaluated.")
    accelerator = build_accelerator(args)
    with accelerator.main_process_first():
        rows = with_titles(build_listing_catalog(data, seed=args.seed))
    model, processor = build_dual_encoder(model_args, data, rows)
    catalog = check_training_rows(accelerator, rows, data, processor)
    weights = TGQFormerLossWeights(rr=0.0)

    def save(folder: Path) -> nn.Module:
        model.save_pretrained(folder)
        processor.title_tokenizer.save_pretrained(folder)
        processor.image_processor.save_pretrained(folder)
        return model

    plan = RunPlan(
        method="a dual encoder",
        student=DualEncoderStudent(model),
        processor=processor,
        pairs=build_listing_pairs(catalog.rows, data, seed=args.seed, first_alone=True),
        collator=TGQFormerCollator(processor),
        make_task=partial(TGQFormerTask, weights=weights),
        description=describe_losses(weights.active(), {}),
        save=save,
        frozen=frozen_encoders(model_args, model),
    )
    return run_plan(accelerator, plan, catalog, data, args, (model_args,))


if __name__ == "__main__" and not start_cpu_processes(__spec__.name, sys.argv[1:]):
    main()
