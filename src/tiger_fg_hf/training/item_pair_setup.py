"""From arguments to what training on pairs of listings needs: catalog, pairs, models, processor."""

import logging
from dataclasses import replace
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from ..catalog.encode import split_rows
from ..data.listings import ListingConfig, ListingPairDataset, ListingSynthesizer
from ..data.promotions import FontSet
from ..data.tokenizer import train_sentencepiece_tokenizer
from ..models.tgq_former.dual_encoder_tgq_former import pads_titles
from ..models.tgq_former.modeling_tgq_former import TGQFormerModel
from ..models.tgq_former.processing_tgq_former import TGQFormerProcessor
from ..models.tiger_fg.configuration_tiger_fg import TigerFGQueryConfig
from ..models.tiger_fg.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from ..models.tiger_fg.modeling_tiger_fg import TigerFGQueryModel
from .arguments import DataArguments
from .item_pair_arguments import DualEncoderArguments, ListingArguments, TGQFormerArguments
from .setup import build_catalog, build_clutter, build_eval_catalog, catalog_texts, pixel_statistics

logger = logging.getLogger(__name__)

# Chinese-CLIP's.
_TITLE_LENGTH = 52


def build_listing_catalog(data: ListingArguments, *, seed: int) -> Any:
    """
    The catalog whose products get two listings each: `--data`, or drawings of one product each.

    Raises:
        ValueError: no row has a title.
    """
    catalog = build_catalog(_catalog_arguments(data), image_size=data.image_size, seed=seed)
    if not any(map(_is_title, catalog["title"] if "title" in catalog.column_names else [])):
        raise ValueError(
            f"No row of the catalog has a title, of {catalog.column_names}; --columns title=NAME tells which column "
            "of --data holds it."
        )
    return catalog


def _catalog_arguments(data: ListingArguments) -> DataArguments:
    told = ("data", "split", "columns", "eval_data", "eval_limit", "drawn_products", "num_workers")
    return DataArguments(drawn_views=1, drawn_layout="clean", **{name: getattr(data, name) for name in told})


def with_titles(catalog: Any) -> Any:
    """The rows of a listing catalog that have a title, which a dual encoder is trained on."""
    rows = [row for row, title in enumerate(catalog["title"]) if _is_title(title)]
    if len(rows) < len(catalog):
        logger.warning("%d of %d rows have no title and are left out.", len(catalog) - len(rows), len(catalog))
    return catalog.select(rows)


def _is_title(title: str | None) -> bool:
    return bool(title and title.strip())


def build_eval_listings(data: ListingArguments) -> ListingPairDataset:
    """
    Held-out pairs for evaluation during training: of `--eval_data`, or of drawn products of another split.

    Raises:
        ValueError: the training catalog is not drawn and `--eval_data` is missing.
    """
    catalog = build_eval_catalog(_catalog_arguments(data), image_size=data.image_size)
    return build_listing_pairs(catalog, replace(data, wrong_titles=0.0), seed=0)


def listing_settings(data: ListingArguments) -> dict[str, Any]:
    """What of the arguments changes the listings that a catalog gives; the same when a run is resumed."""
    told = ("level_shares", "keep_words", "wrong_titles", "image_size", "cache_decoded", "clutter", "fonts")
    return {name: getattr(data, name) for name in told}


def build_listing_pairs(
    catalog: Any, data: ListingArguments, *, seed: int, first_alone: bool = False
) -> ListingPairDataset:
    """Two listings of every product of `catalog`, or the first alone, at the levels of `--level_shares`."""
    synthesizer = ListingSynthesizer(
        ListingConfig(size=data.image_size, keep_words=data.kept_words()),
        build_clutter(data.clutter, "item", size=data.image_size),
        FontSet(data.fonts) if data.fonts else None,
    )
    return ListingPairDataset(
        catalog,
        synthesizer,
        seed=seed,
        level_shares=data.shares(),
        cache_decoded=data.cache_decoded,
        cache_max_side=max(data.image_size * 3 // 2, 96),
        first_alone=first_alone,
        wrong_titles=data.wrong_titles,
    )


def build_dual_encoder(
    args: DualEncoderArguments, data: ListingArguments, catalog: Any
) -> tuple[PreTrainedModel, TGQFormerProcessor]:
    """The dual encoder to train, and a processor whose two tokenizers are both its own."""
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
        length = _title_form(AutoConfig.for_model(**settings), args.max_title_length)["max_title_length"]
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
        if pooler is not None:  # encoders that were trained by themselves often lack its weights
            pooler.requires_grad_(True)
    processor = TGQFormerProcessor(
        _image_processor(data, statistics),
        tokenizer,
        tokenizer,
        **_title_form(model.config, args.max_title_length),
    )
    return model, processor


def _paired_encoders(args: DualEncoderArguments, data: ListingArguments) -> VisionTextDualEncoderModel:
    """
    A fresh dual encoder of two pretrained encoders; a TIGER-FG's vision encoder is taken from its folder.

    Raises:
        ValueError: one of them has no pooled output.
    """
    if isinstance(AutoConfig.from_pretrained(args.vision), TigerFGQueryConfig):
        trained = TigerFGQueryModel.from_pretrained(args.vision, dtype=torch.float32).vision_model
        vision = AutoModel.from_config(trained.config)
        vision.load_state_dict(trained.state_dict(), strict=False)  # TIGER-FG has no pooling head, which stays fresh
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
        # Some encoders have no pooled output, which only a forward pass tells.
        seen = model.vision_model(torch.zeros(1, 3, data.image_size, data.image_size), interpolate_pos_encoding=True)
        read = model.text_model(torch.zeros(1, 1, dtype=torch.long))
    for source, encoder, output in ((args.vision, model.vision_model, seen), (args.text, model.text_model, read)):
        if output.get("pooler_output") is None:
            raise ValueError(
                f"'{source}' holds a '{encoder.config.model_type}', which gives no pooled output; a dual encoder "
                "needs one, such as that of ViT, DeiT or BERT."
            )
    return model


def frozen_encoders(args: DualEncoderArguments, model: PreTrainedModel) -> list[torch.nn.Module]:
    """Encoders of a dual encoder that stay as they are."""
    return [
        encoder
        for encoder, frozen in ((model.text_model, args.freeze_text), (model.vision_model, args.freeze_vision))
        if frozen
    ]


def build_tgq_former(args: TGQFormerArguments, data: ListingArguments) -> tuple[TGQFormerModel, TGQFormerProcessor]:
    """
    The TGQ-Former to train, its dual encoder frozen, and its processor.

    Raises:
        ValueError: neither `--model` nor `--dual_encoder` with a language model is given, or `--image_size` is another
            than that of `--model`.
    """
    assert not isinstance(args.model_config, str)  # `TGQFormerArguments` has parsed it
    config = dict(args.model_config or {})
    if args.model is not None:
        model = TGQFormerModel.from_pretrained(
            args.model, dtype=torch.float32, attn_implementation=args.attn_implementation
        )
        processor = TGQFormerProcessor.from_pretrained(args.model)
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
            _image_processor(data, pixel_statistics(args.dual_encoder)),
            tokenizer,
            title_tokenizer,
            instruction=args.instruction or "",
            max_length=args.max_text_length or 64,
            **_title_form(model.dual_encoder.config, args.max_title_length),
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
    """
    `S_title` `[N]` of listings of the training, for [`TGQFormerModel.calibrate_agreement`].

    Args:
        pairs: a [`ListingPairDataset`]; it gives the first listings of up to `samples` products, evenly spaced.
    """
    number = min(samples, len(pairs))
    found = []
    for places in split_rows(range(number), batch_size, "batch_size"):
        listings = [pairs[place * len(pairs) // number] for place in places]
        inputs = processor(
            images=[listing["images"][0] for listing in listings],
            text=[listing["texts"][0] for listing in listings],
            return_tensors="pt",
        ).to(model.device)
        names = ("pixel_values", "title_input_ids", "title_attention_mask")
        found.append(model.encode_pair(*(inputs[name] for name in names)).agreement)
    return torch.cat(found)


def _title_form(dual_encoder: PreTrainedConfig, max_title_length: int | None) -> dict[str, Any]:
    """How long titles are, and how they are padded."""
    if not pads_titles(dual_encoder):
        return {"max_title_length": max_title_length or _TITLE_LENGTH, "title_padding": "longest"}
    positions = dual_encoder.text_config.max_position_embeddings
    if max_title_length not in (None, positions):
        raise ValueError(
            f"--max_title_length must be {positions}, as SigLIP reads a title off its last position, got "
            f"{max_title_length}."
        )
    return {"max_title_length": positions, "title_padding": "max_length"}


def _image_processor(data: ListingArguments, statistics: dict[str, list[float]]) -> TigerFGImageProcessorPil:
    return TigerFGImageProcessorPil(
        size={"height": data.image_size, "width": data.image_size}, resize_mode="pad", **statistics
    )
