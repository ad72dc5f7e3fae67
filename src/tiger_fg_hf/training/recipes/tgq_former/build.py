"""Build a TGQ-Former and its processor from arguments, and calibrate its gate."""

from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from ....catalog.encode import split_rows
from ....models.modeling_tgq_former import TGQFormerModel
from ....models.processing_tgq_former import TGQFormerProcessor
from ..catalogs import pixel_statistics
from ..listings import ListingArguments, listing_image_processor, title_form
from .arguments import TGQFormerArguments


def build_tgq_former(args: TGQFormerArguments, data: ListingArguments) -> tuple[TGQFormerModel, TGQFormerProcessor]:
    """Build the TGQ-Former to train, with its dual encoder frozen, and its processor.

    Raises:
        ValueError: If neither `--model` nor `--dual_encoder` with a language model is given, or `--image_size` is not
            that of `--model`.
    """
    assert not isinstance(args.model_config, str)  # `TGQFormerArguments` has parsed it
    config = dict(args.model_config or {})
    if args.model is not None:
        model = TGQFormerModel.from_pretrained(
            args.model, dtype=torch.float32, attn_implementation=args.attn_implementation
        )
        processor = TGQFormerProcessor.from_pretrained(args.model)
        processor.columns = data.column_mapping or processor.columns
        side = processor.image_processor.size["height"]
        if data.image_size != side:
            raise ValueError(f"--image_size must be {side}, that of --model, got {data.image_size}.")
    else:
        from_scratch = "text_config" in config
        if args.dual_encoder is None or (args.language_model is None) != from_scratch:
            raise ValueError(
                "Give either --model (a TGQ-Former checkpoint), or --dual_encoder with --language_model or with a "
                "text_config in --model_config (a language model from scratch)."
            )
        title_tokenizer = AutoTokenizer.from_pretrained(args.dual_encoder)
        tokenizer = title_tokenizer if from_scratch else AutoTokenizer.from_pretrained(args.language_model)
        language_model: Any = args.language_model
        if from_scratch:
            ends = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
            language_model = AutoConfig.for_model(
                **{**config.pop("text_config"), "vocab_size": len(tokenizer), **ends}
            )
        model = TGQFormerModel.from_backbones(
            args.dual_encoder,
            language_model,
            matched_connector=args.connector,
            attn_implementation=args.attn_implementation,
            **config,
        )
        processor = TGQFormerProcessor(
            listing_image_processor(data, pixel_statistics(args.dual_encoder)),
            tokenizer,
            title_tokenizer,
            instruction=args.instruction or "",
            max_length=args.max_text_length or 64,
            columns=data.column_mapping,
            **title_form(model.dual_encoder.config, args.max_title_length),
        )
    model.dual_encoder.requires_grad_(False)
    if args.freeze_language_model:
        model.language_model.requires_grad_(False)
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model, processor


@torch.no_grad()
def listing_agreement(
    model: TGQFormerModel, processor: TGQFormerProcessor, pairs: Any, samples: int, *, batch_size: int = 64
) -> torch.Tensor:
    """Measure `S_title`, the agreement of picture and title, for [`TGQFormerModel.calibrate_agreement`].

    Args:
        model: The model.
        processor: Its processor.
        pairs: A [`TGQFormerPairDataset`]; the first listings of evenly spaced products are measured.
        samples: Largest number of listings to measure.
        batch_size: Listings per forward pass.

    Returns:
        `[N]`, cosines in [-1, 1].
    """
    number = min(samples, len(pairs))
    agreements = []
    for places in split_rows(range(number), batch_size, "batch_size"):
        listings = [pairs[place * len(pairs) // number] for place in places]
        inputs = processor(
            images=[listing["images"][0] for listing in listings],
            text=[listing["texts"][0] for listing in listings],
            return_tensors="pt",
        ).to(model.device)
        names = ("pixel_values", "title_input_ids", "title_attention_mask")
        agreements.append(model.encode_pair(*(inputs[name] for name in names)).agreement)
    return torch.cat(agreements)
