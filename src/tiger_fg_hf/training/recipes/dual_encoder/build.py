"""Build a dual encoder and its processor from arguments."""

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from ....models.configuration_tiger_fg import TigerFGQueryConfig
from ....models.modeling_tiger_fg import TigerFGQueryModel
from ....models.processing_tgq_former import TGQFormerProcessor
from ...tokenizer import train_sentencepiece_tokenizer
from ..catalogs import catalog_texts, pixel_statistics
from ..listings import ListingArguments, listing_image_processor, title_form
from .arguments import DualEncoderArguments


def build_dual_encoder(
    args: DualEncoderArguments, data: ListingArguments, catalog: Any
) -> tuple[PreTrainedModel, TGQFormerProcessor]:
    """Build the dual encoder to train, and a processor that uses its tokenizer for both titles and prompts."""
    attention = args.attn_implementation
    if args.dual_encoder is not None:
        model = AutoModel.from_pretrained(
            args.dual_encoder, dtype=torch.float32, attn_implementation=attention, use_safetensors=True
        )
        tokenizer, statistics = AutoTokenizer.from_pretrained(args.dual_encoder), pixel_statistics(args.dual_encoder)
    elif args.vision is not None:
        model = _paired_encoders(args, data)
        if attention is not None:
            model.set_attn_implementation(attention)
        tokenizer, statistics = AutoTokenizer.from_pretrained(args.text), pixel_statistics(args.vision)
    else:
        assert isinstance(args.dual_encoder_config, dict)  # `DualEncoderArguments` has parsed it
        settings = {**args.dual_encoder_config}
        length = title_form(AutoConfig.for_model(**settings), args.max_title_length)["max_title_length"]
        tokenizer = train_sentencepiece_tokenizer(
            catalog_texts(catalog), vocab_size=args.vocab_size, model_max_length=length
        )
        ends = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        settings["text_config"] = {**settings.get("text_config", {}), "vocab_size": len(tokenizer), **ends}
        model = AutoModel.from_config(AutoConfig.for_model(**settings), attn_implementation=attention)
        statistics = {}
    for frozen in frozen_encoders(args, model):
        frozen.requires_grad_(False)
    if args.freeze_vision and isinstance(model, VisionTextDualEncoderModel):
        pooler = getattr(model.vision_model, "pooler", None)
        if pooler is not None:  # encoders that were trained alone often lack its weights
            pooler.requires_grad_(True)
    processor = TGQFormerProcessor(
        listing_image_processor(data, statistics),
        tokenizer,
        tokenizer,
        columns=data.column_mapping,
        **title_form(model.config, args.max_title_length),
    )
    return model, processor


def _paired_encoders(args: DualEncoderArguments, data: ListingArguments) -> VisionTextDualEncoderModel:
    """Join two pretrained encoders into a new dual encoder; the vision encoder may come from a TIGER-FG model.

    Raises:
        ValueError: If one of them has no pooled output.
    """
    if isinstance(AutoConfig.from_pretrained(args.vision), TigerFGQueryConfig):
        trained = TigerFGQueryModel.from_pretrained(args.vision, dtype=torch.float32).vision_model
        vision = AutoModel.from_config(trained.config)
        # Not strict: TIGER-FG has no pooling head, which keeps its initial weights.
        vision.load_state_dict(trained.state_dict(), strict=False)
        text = AutoModel.from_pretrained(args.text, dtype=torch.float32)
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            vision.config, text.config, projection_dim=args.projection_dim
        )
        model = VisionTextDualEncoderModel(config, vision_model=vision, text_model=text)
    else:
        model = VisionTextDualEncoderModel.from_vision_text_pretrained(
            args.vision, args.text, projection_dim=args.projection_dim
        )
    model.eval()
    with torch.no_grad():
        # Only a forward pass shows whether an encoder has a pooled output.
        pixels = torch.zeros(1, 3, data.image_size, data.image_size)
        image_output = model.vision_model(pixels, interpolate_pos_encoding=True)
        text_output = model.text_model(torch.zeros(1, 1, dtype=torch.long))
    for source, encoder, output in (
        (args.vision, model.vision_model, image_output),
        (args.text, model.text_model, text_output),
    ):
        if output.get("pooler_output") is None:
            raise ValueError(
                f"'{source}' holds a '{encoder.config.model_type}', which gives no pooled output; a dual encoder "
                "needs one, such as that of ViT, DeiT or BERT."
            )
    return model


def frozen_encoders(args: DualEncoderArguments, model: PreTrainedModel) -> list[torch.nn.Module]:
    """List the encoders that `--freeze_text` and `--freeze_vision` freeze."""
    return [
        encoder
        for encoder, frozen in ((model.text_model, args.freeze_text), (model.vision_model, args.freeze_vision))
        if frozen
    ]
