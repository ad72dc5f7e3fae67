"""From arguments to what the loop needs: model, processor and pairs."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.image_processing_base import ImageProcessingMixin
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..data.catalog import catalog_fingerprint, load_catalog, pair_queries, to_record
from ..data.crops import CatalogPhotos
from ..data.drawn import drawn_catalog
from ..data.mosaic import MosaicComposer, MosaicConfig
from ..data.pairs import ItemAugmentation, PairDataset
from ..data.synthesis import ClutterBank, QuerySynthesisConfig, QuerySynthesizer, clutter_pool
from ..data.tokenizer import train_sentencepiece_tokenizer
from ..models.tiger_fg.configuration_tiger_fg import TigerFGConfig
from ..models.tiger_fg.encoders_tiger_fg import backbone_from_pretrained
from ..models.tiger_fg.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from ..models.tiger_fg.modeling_tiger_fg import TigerFGModel
from ..models.tiger_fg.processing_tiger_fg import TigerFGProcessor
from ..objectives.frozen_text import FrozenTextTokens
from ..objectives.student import TrainingStudent
from ..objectives.teacher import TeacherFeatures
from ..objectives.weights import LossWeights
from .arguments import DataArguments, ModelArguments
from .hard_batches import HardBatchOrder

logger = logging.getLogger(__name__)


def build_catalog(data: DataArguments, *, image_size: int, seed: int) -> Any:
    """The training catalog: drawn, read from `--data`, or its query photos joined to the listings of `--items`."""
    if data.data == "drawn":
        return load_catalog(
            drawn_catalog(
                num_products=data.drawn_products,
                views=data.drawn_views,
                layout=data.drawn_layout,
                seed=seed,
                size=max(image_size, 96),
                num_proc=max(data.num_workers, 1),
            )
        )
    return read_catalog(
        data.data, split=data.split, columns=data.columns, items=data.items, item_columns=data.item_columns
    )


def read_catalog(
    source: str,
    *,
    split: str | None = None,
    columns: str | None = None,
    items: str | None = None,
    item_columns: str | None = None,
) -> Any:
    """A catalog, or its query photos joined to the listings of `items`; columns as `parse_columns` takes them."""
    catalog = load_catalog(source, split=split, columns=columns)
    return catalog if items is None else pair_queries(catalog, load_catalog(items, columns=item_columns))


def build_clutter(clutter: str | None, pool: Literal["query", "item"], *, size: int) -> ClutterBank | None:
    """Backgrounds from one of the two disjoint pools of `clutter`; None, for drawn ones, without it."""
    return None if clutter is None else ClutterBank(clutter_pool(load_clutter(clutter), pool), side=max(size, 96))


def build_synthesizer(
    clutter: str | None, *, size: int, difficulty: Literal["easy", "default", "hard"] = "default"
) -> QuerySynthesizer:
    """Queries of `size` pixels, on photos of the query pool of `clutter` or on drawn backgrounds."""
    bank = build_clutter(clutter, "query", size=size)
    return QuerySynthesizer(QuerySynthesisConfig.preset(difficulty, size=size), bank)


def load_clutter(source: str):
    """Photos without item ids, as a `datasets.Dataset` with an `image` column."""
    import datasets

    if source.endswith(".parquet"):
        return datasets.load_dataset("parquet", data_files=source, split="train")
    return datasets.load_dataset(source, split="train")


def build_pairs(
    catalog: Any,
    data: DataArguments,
    *,
    image_size: int,
    query_size: int | None = None,
    seed: int,
    hard_texts: bool = False,
) -> PairDataset:
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
    pairs = PairDataset(
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


def build_sampling(pairs: PairDataset, data: DataArguments, *, batch_size: int, seed: int) -> dict[str, Any]:
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


def build_student(model: PreTrainedModel, losses: LossWeights, *, freeze_text: bool) -> TrainingStudent:
    """The model with what its losses need; a frozen text encoder runs once for each text."""
    return TrainingStudent(
        model,
        losses.student_terms(),
        frozen_text=FrozenTextTokens(model.text_model) if freeze_text else None,
    )


def build_teacher(
    catalog: Any, model: ModelArguments, losses: LossWeights, folder: str | Path, *, fingerprint: str | None = None
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


def build_model_and_processor(model: ModelArguments, catalog: Any) -> tuple[PreTrainedModel, TigerFGProcessor]:
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
    assert not isinstance(model.model_config, str)  # `ModelArguments` has parsed it
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


def _refuse_other_inputs(model: ModelArguments, processor: TigerFGProcessor) -> None:
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
    for field in fields(ModelArguments):
        given = getattr(model, field.name)
        if field.name in (*own, "tokenizer") and given not in (field.default, own.get(field.name)):
            raise ValueError(
                f"--{field.name} {given}: --model brings its own, {own.get(field.name, 'its tokenizer')}."
            )


def query_side(processor: TigerFGProcessor) -> int:
    """Height in pixels of the queries that `processor` prepares."""
    return (processor.query_size or processor.image_processor.size)["height"]


def pixel_statistics(vision: str) -> dict[str, list[float]]:
    """Mean and deviation that a vision encoder was trained with; those of ImageNet where it does not say."""
    try:
        saved, _ = ImageProcessingMixin.get_image_processor_dict(vision)
    except OSError:
        logger.warning("'%s' has no preprocessor_config.json: images are normalised as ImageNet's.", vision)
        return {}
    return {name: saved[name] for name in ("image_mean", "image_std") if saved.get(name) is not None}


def _build_tokenizer(model: ModelArguments, catalog: Any):
    source = model.tokenizer or model.text
    if source is None or source == "train":
        texts = catalog_texts(catalog)
        return train_sentencepiece_tokenizer(
            texts, vocab_size=model.vocab_size, model_max_length=model.max_text_length
        )
    return AutoTokenizer.from_pretrained(source)


def catalog_texts(catalog: Any):
    # The template needs no tokenizer, but its class does; any rendering that names the same words will do here.
    for row in range(len(catalog)):
        record = to_record(_without_images(catalog, row))
        attributes = ", ".join(f"{name}: {value}" for name, value in (record["attributes"] or {}).items())
        yield " | ".join(filter(None, (record["title"], record["category"], attributes)))


def _without_images(catalog: Any, row: int) -> dict:
    return {name: value for name, value in catalog[row].items() if name not in ("image", "query_image")}


def build_eval_catalog(data: DataArguments, *, image_size: int) -> Any:
    """
    Held-out listings for evaluation during training: `--eval_data`, or drawn products of another split.

    Raises:
        ValueError: the training catalog is not drawn and `--eval_data` is missing.
    """
    if data.eval_data is None and data.data != "drawn":
        raise ValueError("--eval_every needs --eval_data, a catalog that is not trained on.")
    if data.eval_data is None or data.eval_data == "drawn":
        return load_catalog(
            drawn_catalog(
                num_products=data.eval_limit,
                split="validation",
                layout=data.drawn_layout,
                size=max(image_size, 96),
                num_proc=max(data.num_workers, 1),
            )
        )
    catalog = load_catalog(data.eval_data, columns=data.columns)
    return catalog.select(range(min(data.eval_limit, len(catalog))))
