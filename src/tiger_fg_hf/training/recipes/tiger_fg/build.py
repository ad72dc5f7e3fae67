"""From arguments to what the loop needs: model, processor and pairs."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ....catalog.fingerprint import catalog_fingerprint
from ....data.crops import CatalogPhotos
from ....data.mosaic import MosaicComposer, MosaicConfig
from ....data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
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
from ..catalogs import build_clutter, catalog_texts, pixel_statistics
from .arguments import TigerFGDataArguments, TigerFGModelArguments

logger = logging.getLogger(__name__)


def build_synthesizer(
    clutter: str | None, *, size: int, difficulty: Literal["easy", "default", "hard"] = "default"
) -> QuerySynthesizer:
    """Queries of `size` pixels, on photos of the query pool of `clutter` or on drawn backgrounds."""
    bank = build_clutter(clutter, "query", size=size)
    return QuerySynthesizer(QuerySynthesisConfig.preset(difficulty, size=size), bank)


def build_pairs(
    catalog: Any,
    data: TigerFGDataArguments,
    *,
    image_size: int,
    query_size: int | None = None,
    seed: int,
    hard_texts: bool = False,
) -> TigerFGPairDataset:
    """
    Training pairs: synthesised queries, or the catalog's own with varied light and quality; mosaics of items.

    Args:
        image_size, query_size: sides in pixels of mosaics and of synthesised queries; `query_size` as `image_size`
            when absent.
    """
    has_queries = "query_image" in catalog.column_names
    mosaic = None
    if data.mosaic_share:
        config = MosaicConfig(
            size=image_size, area=data.mosaic_range("mosaic_area"), overlay_probability=data.mosaic_overlays
        )
        mosaic = MosaicComposer(config, build_clutter(data.clutter, "item", size=image_size))
    pairs = TigerFGPairDataset(
        catalog,
        build_synthesizer(data.clutter, size=query_size or image_size, difficulty=data.query_difficulty),
        seed=seed,
        item_augmentation=ItemAugmentation(),
        augment_query_images=has_queries,
        cache_decoded=data.cache_decoded,
        cache_max_side=max(max(image_size, query_size or 0) * 3 // 2, 96),
        mosaic=mosaic,
    )
    if hard_texts and data.num_hard_texts:
        if pairs.texts.has_contrast:
            pairs.num_hard_texts = data.num_hard_texts
        else:
            logger.warning("The catalog has no texts of other products to tell apart: mismatched texts are left out.")
    return pairs


def build_sampling(
    pairs: TigerFGPairDataset, data: TigerFGDataArguments, *, batch_size: int, seed: int
) -> dict[str, Any]:
    """
    Arguments of [`EpochBatchSampler`] beside the batch: which rows share mosaics, and which share a batch.

    Args:
        batch_size: rows of the global batch.

    Raises:
        ValueError: the file of hard negatives does not fit the catalog.
    """
    sampling: dict[str, Any] = {}
    if data.mosaic_share:
        smallest, largest = data.mosaic_range("mosaic_items")
        sampling = {
            "mosaic_share": data.mosaic_share,
            "group_sizes": (int(smallest), int(largest)),
            "categories": pairs.categories,
            "item_ids": pairs.item_numbers,
        }
    if data.hard_negatives or data.group_products:
        neighbours = None if data.hard_negatives is None else torch.from_numpy(np.load(data.hard_negatives))
        items = torch.tensor(pairs.item_numbers) if data.group_products else None
        sampling["order"] = HardBatchOrder(len(pairs), batch_size, neighbours=neighbours, item_ids=items, seed=seed)
    return sampling


def build_student(model: PreTrainedModel, losses: TigerFGLossWeights, *, freeze_text: bool) -> TigerFGStudent:
    """The model with what its losses need; a frozen text encoder runs once for each text."""
    return TigerFGStudent(
        model,
        losses.student_terms(),
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
    """
    Features of the frozen teacher, `--teacher` or else `--vision` as it was, kept in `folder`.

    None where no loss asks for it, and, with a warning, where there is no encoder to be the teacher.
    """
    if not losses.needs_teacher:
        return None
    source = model.teacher or model.vision
    if source is None:
        logger.warning("Neither --teacher nor --vision is given: the losses srd and sdd are left out.")
        return None
    teacher = backbone_from_pretrained(source, "vision_config", torch.float32, {})
    statistics = {"image_mean": IMAGENET_DEFAULT_MEAN, "image_std": IMAGENET_DEFAULT_STD, **pixel_statistics(source)}
    size = getattr(teacher.config, "image_size", None)
    if size is None:  # SigLIP 2 NaFlex, which counts patches
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


def build_model_and_processor(model: TigerFGModelArguments, catalog: Any) -> tuple[PreTrainedModel, TigerFGProcessor]:
    """
    The model and processor that `--model`, `--vision` with `--text`, or `--model_config` ask for.

    Raises:
        ValueError: none, or a combination that leaves open which is meant, is given.
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
        # Float32 whatever it was saved in: the optimizer's small steps are lost on half-precision weights.
        network = TigerFGModel.from_pretrained(
            model.model, dtype=torch.float32, attn_implementation=model.attn_implementation
        )
        processor = TigerFGProcessor.from_pretrained(model.model)
        _refuse_other_inputs(model, processor)
    else:
        tokenizer = _build_tokenizer(model, catalog)
        image_processor = TigerFGImageProcessorPil(
            size={"height": model.image_size, "width": model.image_size},
            resize_mode=model.resize_mode,
            **(pixel_statistics(model.vision) if model.vision else {}),
        )
        side = model.query_image_size
        processor = TigerFGProcessor(
            image_processor,
            tokenizer,
            max_length=model.max_text_length,
            query_size=None if side is None else {"height": side, "width": side},
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


def _refuse_other_inputs(model: TigerFGModelArguments, processor: TigerFGProcessor) -> None:
    """
    Raises:
        ValueError: a flag asks for other inputs than those of the checkpoint, which brings its processor.
    """
    own = {
        "image_size": processor.image_processor.size["height"],
        "query_image_size": None if processor.query_size is None else processor.query_size["height"],
        "resize_mode": processor.image_processor.resize_mode,
        "max_text_length": processor.max_length,
    }
    for field in fields(TigerFGModelArguments):
        given = getattr(model, field.name)
        if field.name in (*own, "tokenizer") and given not in (field.default, own.get(field.name)):
            raise ValueError(
                f"--{field.name} {given}: --model brings its own, {own.get(field.name, 'its tokenizer')}."
            )


def query_side(processor: TigerFGProcessor) -> int:
    """Height in pixels of the queries that `processor` prepares."""
    return (processor.query_size or processor.image_processor.size)["height"]


def _build_tokenizer(model: TigerFGModelArguments, catalog: Any):
    source = model.tokenizer or model.text
    if source is None or source == "train":
        texts = catalog_texts(catalog)
        return train_sentencepiece_tokenizer(
            texts, vocab_size=model.vocab_size, model_max_length=model.max_text_length
        )
    return AutoTokenizer.from_pretrained(source)
