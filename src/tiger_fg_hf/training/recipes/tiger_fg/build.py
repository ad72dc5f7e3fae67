"""Build the model, processor, pairs and teacher of TIGER-FG from arguments."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ....catalog.fingerprint import catalog_fingerprint
from ....data.catalog_photos import CatalogPhotos
from ....data.close_views import CloseViewConfig, CloseViewMaker
from ....data.clutter import open_clutter
from ....data.mosaic import MosaicComposer, MosaicConfig
from ....data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from ....data.tiger_fg_collator import TigerFGCollator
from ....data.tiger_fg_pairs import ItemAugmentation, TigerFGPairDataset
from ....models.configuration_tiger_fg import TigerFGConfig
from ....models.encoders_tiger_fg import backbone_from_pretrained
from ....models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from ....models.modeling_tiger_fg import TigerFGModel
from ....models.processing_tiger_fg import TigerFGProcessor
from ....objectives.frozen_text import FrozenTextTokens
from ....objectives.teacher import TeacherFeatures
from ....objectives.tiger_fg_student import TigerFGStudent
from ....objectives.tiger_fg_weights import TigerFGLossWeights
from ...hard_batches import HardBatchOrder
from ...tokenizer import train_sentencepiece_tokenizer
from ..catalogs import catalog_texts, draw_catalog, pixel_statistics, read_catalog
from .arguments import TigerFGDataArguments, TigerFGModelArguments

logger = logging.getLogger(__name__)

GLANCE_SCALE = 2  # side of an item's picture, compared with that of the first glance


def picture_size(model: TigerFGModelArguments, losses: TigerFGLossWeights) -> int:
    """Return the side in pixels of drawn listings and mosaics: that of the second glance if `L_glance` trains it."""
    return (GLANCE_SCALE if losses.glance else 1) * model.image_size


def build_catalog(data: TigerFGDataArguments, *, image_size: int, seed: int) -> Any:
    """Open the training catalog: drawn, `--data`, or its query photos joined to the listings of `--items`."""
    if data.data == "drawn":
        return draw_catalog(
            data,
            image_size=image_size,
            num_products=data.drawn_products,
            views=data.drawn_views,
            layout=data.drawn_layout,
            seed=seed,
        )
    return read_catalog(
        data.data,
        split=data.split,
        columns=data.columns,
        items=data.items,
        item_columns=data.item_columns,
        allow_outside=data.allow_outside,
    )


def build_synthesizer(
    clutter: str | None, *, size: int, difficulty: Literal["easy", "default", "hard"] = "default"
) -> QuerySynthesizer:
    """Build a synthesizer of queries on photos from the query pool of `clutter`, or on drawn backgrounds.

    Args:
        clutter: Catalog of background photos.
        size: Side of the queries in pixels.
        difficulty: How far queries depart from the listing photo.
    """
    bank = open_clutter(clutter, "query", size=size)
    return QuerySynthesizer(QuerySynthesisConfig.preset(difficulty, size=size), bank)


def build_pairs(
    catalog: Any,
    data: TigerFGDataArguments,
    *,
    image_size: int,
    query_size: int | None = None,
    seed: int,
    hard_texts: bool = False,
    close_views: bool = False,
) -> TigerFGPairDataset:
    """Build the training pairs, with synthesized queries or the catalog's own in varied light and quality.

    Args:
        catalog: Rows of the catalog.
        data: Arguments of the data.
        image_size: Side of mosaics in pixels.
        query_size: Side of synthesized queries in pixels; `image_size` by default.
        seed: Seed of the pairs.
        hard_texts: Whether the losses use mismatched texts.
        close_views: Whether the losses use close views.
    """
    mosaic = close = None
    if data.mosaic_share:
        smallest, largest = data.mosaic_area
        config = MosaicConfig(size=image_size, area=(smallest, largest), overlay_probability=data.mosaic_overlays)
        mosaic = MosaicComposer(config, open_clutter(data.clutter, "item", size=image_size))
        if close_views and data.close_share:
            close = CloseViewMaker(
                CloseViewConfig(
                    share=data.close_share,
                    plain_share=data.close_plain_share,
                    jitter=data.close_jitter,
                    size=data.close_size,
                )
            )
    pairs = TigerFGPairDataset(
        catalog,
        build_synthesizer(data.clutter, size=query_size or image_size, difficulty=data.query_difficulty),
        seed=seed,
        item_augmentation=ItemAugmentation(),
        augment_query_images="query_image" in catalog.column_names,
        cache_decoded=data.cache_decoded,
        cache_max_side=max(max(image_size, query_size or 0) * 3 // 2, 96),
        mosaic=mosaic,
        close_views=close,
    )
    if hard_texts and data.num_hard_texts:
        if pairs.texts.has_contrast:
            pairs.num_hard_texts = data.num_hard_texts
        else:
            logger.warning("The catalog has no texts of other categories: mismatched texts are left out.")
    return pairs


def build_collator(
    processor: TigerFGProcessor, pairs: TigerFGPairDataset, *, full_size: bool = False
) -> TigerFGCollator:
    """Build the collator of pairs, with close views if the pairs have them; see `TigerFGCollator` for `full_size`."""
    maker = pairs.close_views
    return TigerFGCollator(processor, close_size=None if maker is None else maker.config.size, full_size=full_size)


def build_sampling(
    pairs: TigerFGPairDataset, data: TigerFGDataArguments, *, batch_size: int, seed: int
) -> dict[str, Any]:
    """Build the arguments of [`EpochBatchSampler`] that decide which rows share mosaics and batches.

    Args:
        pairs: The training pairs.
        data: Arguments of the data.
        batch_size: Rows of the global batch.
        seed: Seed of the order.

    Raises:
        ValueError: If the file of hard negatives does not fit the catalog.
    """
    sampling: dict[str, Any] = {}
    if data.mosaic_share:
        sampling = {
            "mosaic_share": data.mosaic_share,
            "group_sizes": tuple(data.mosaic_items),
            "categories": pairs.categories,
            "item_ids": pairs.item_numbers,
        }
    if data.hard_negatives or data.group_products:
        neighbours = None if data.hard_negatives is None else torch.from_numpy(np.load(data.hard_negatives))
        items = torch.tensor(pairs.item_numbers) if data.group_products else None
        sampling["order"] = HardBatchOrder(len(pairs), batch_size, neighbours=neighbours, item_ids=items, seed=seed)
    return sampling


def build_student(model: PreTrainedModel, losses: TigerFGLossWeights, *, freeze_text: bool) -> TigerFGStudent:
    """Build the student for the losses; a frozen text encoder runs only once for each text."""
    return TigerFGStudent(
        model,
        losses.student_outputs(),
        frozen_text=FrozenTextTokens(model.text_model) if freeze_text else None,
    )


def build_teacher(
    catalog: Any,
    model: TigerFGModelArguments,
    losses: TigerFGLossWeights,
    folder: str | Path,
    *,
    fingerprint: str | None = None,
) -> TeacherFeatures | None:
    """Compute the features of the frozen teacher, `--teacher` or else `--vision` as it was before training.

    Args:
        catalog: Rows of the catalog.
        model: Arguments of the model.
        losses: Weights of the losses.
        folder: Where features are kept.
        fingerprint: Fingerprint of the catalog, if known.

    Returns:
        The features; None if no loss needs a teacher, or neither encoder is given.
    """
    source = model.teacher_source
    if not losses.needs_teacher or source is None:
        return None
    teacher = backbone_from_pretrained(source, "vision_config", torch.float32, {})
    statistics = {"image_mean": IMAGENET_DEFAULT_MEAN, "image_std": IMAGENET_DEFAULT_STD, **pixel_statistics(source)}
    size = getattr(teacher.config, "image_size", None)
    if size is None:  # SigLIP 2 NaFlex counts patches instead
        size = int(teacher.config.num_patches**0.5) * teacher.config.patch_size
    return TeacherFeatures.cached(
        folder,
        teacher.to("cuda" if torch.cuda.is_available() else "cpu"),
        CatalogPhotos(catalog),
        fingerprint=f"{fingerprint or catalog_fingerprint(catalog)}, boxes or else mattes",
        image_size=size if isinstance(size, int) else size[0],
        query_photos=CatalogPhotos(catalog, "query_image") if "query_image" in catalog.column_names else None,
        **statistics,
    )


def build_model_and_processor(
    model: TigerFGModelArguments, catalog: Any, *, columns: dict[str, str | list[str]] | None = None
) -> tuple[PreTrainedModel, TigerFGProcessor]:
    """Build the model and processor for `--model`, for `--vision` with `--text`, or for `--model_config`.

    `--vision` and `--text` may be combined with `--model_config`.

    Args:
        model: Arguments of the model.
        catalog: Rows whose text a tokenizer is learned from, if one is.
        columns: Column mapping of the catalog, saved with the processor.

    Raises:
        ValueError: If other combinations of flags are given, or a flag contradicts the checkpoint.
    """
    given = [name for name in ("model", "vision", "text", "model_config") if getattr(model, name) is not None]
    if given not in (["model"], ["vision", "text"], ["vision", "text", "model_config"], ["model_config"]):
        raise ValueError(
            "Give either --model (a TIGER-FG checkpoint), or --vision and --text (pretrained encoders; --model_config "
            f"for their heads), or --model_config alone (a model from scratch); got {given or 'none of them'}."
        )
    assert not isinstance(model.model_config, str)  # `TigerFGModelArguments` has parsed it
    config = dict(model.model_config or {})
    if model.model:
        # Always float32: half-precision weights lose the optimizer's small steps.
        network = TigerFGModel.from_pretrained(
            model.model, dtype=torch.float32, attn_implementation=model.attn_implementation
        )
        processor = TigerFGProcessor.from_pretrained(model.model)
        processor.columns = columns or processor.columns
        _check_against_checkpoint(model, processor)
    else:
        tokenizer = _build_tokenizer(model, catalog)
        image_processor = TigerFGImageProcessorPil(
            size={"height": model.image_size, "width": model.image_size},
            resize_mode=model.resize_mode,
            **(pixel_statistics(model.vision) if model.vision else {}),
        )
        side = model.query_image_size
        looks_twice = config.get("num_glances") == 2
        if looks_twice:
            config = {"first_glance_size": model.image_size, "glance_padding": _padding(image_processor), **config}
        processor = TigerFGProcessor(
            image_processor,
            tokenizer,
            max_length=model.max_text_length,
            query_size=None if side is None else {"height": side, "width": side},
            columns=columns,
            glance_scale=GLANCE_SCALE if looks_twice else None,
        )
        if model.vision and model.text:
            network = TigerFGModel.from_backbones(
                model.vision, model.text, attn_implementation=model.attn_implementation, **config
            )
        else:
            vocabulary = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
            config["text_config"] = {**config.get("text_config", {}), **vocabulary}
            network = TigerFGModel._from_config(TigerFGConfig(**config), attn_implementation=model.attn_implementation)
    if model.gradient_checkpointing:
        network.gradient_checkpointing_enable()
    return network, processor


def _padding(images: TigerFGImageProcessorPil) -> list[float]:
    """Return the color of padding as it is in `pixel_values`."""
    statistics = zip(images.pad_color, images.image_mean, images.image_std, strict=True)
    return [(color * images.rescale_factor - mean) / std for color, mean, std in statistics]


def _check_against_checkpoint(model: TigerFGModelArguments, processor: TigerFGProcessor) -> None:
    """Raise a `ValueError` for a flag that asks for other inputs than those of the checkpoint's processor."""
    saved = {
        "image_size": processor.image_processor.size["height"],
        "query_image_size": None if processor.query_size is None else processor.query_size["height"],
        "resize_mode": processor.image_processor.resize_mode,
        "max_text_length": processor.max_length,
    }
    for declared in fields(TigerFGModelArguments):
        name, given = declared.name, getattr(model, declared.name)
        if name in (*saved, "tokenizer") and given not in (declared.default, saved.get(name)):
            raise ValueError(f"--{name} {given}: --model brings its own, {saved.get(name, 'its tokenizer')}.")


def query_side(processor: TigerFGProcessor) -> int:
    """Return the height in pixels of the queries that a processor prepares."""
    return (processor.query_size or processor.image_processor.size)["height"]


def _build_tokenizer(model: TigerFGModelArguments, catalog: Any) -> Any:
    source = model.tokenizer or model.text
    if source is None or source == "train":
        texts = catalog_texts(catalog)
        return train_sentencepiece_tokenizer(
            texts, vocab_size=model.vocab_size, model_max_length=model.max_text_length
        )
    return AutoTokenizer.from_pretrained(source)
