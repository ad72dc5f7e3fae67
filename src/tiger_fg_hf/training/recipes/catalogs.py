"""Catalogs and clutter photos, built from training arguments."""

import logging
from typing import Any, Literal

from transformers.image_processing_base import ImageProcessingMixin

from ...catalog.pairing import pair_queries
from ...catalog.record import to_record
from ...catalog.source import load_catalog
from ...data.clutter import ClutterBank, clutter_pool
from ...synthetic.drawn import drawn_catalog
from .tiger_fg.arguments import TigerFGDataArguments

logger = logging.getLogger(__name__)


def build_catalog(data: TigerFGDataArguments, *, image_size: int, seed: int) -> Any:
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


def load_clutter(source: str):
    """Photos without item ids, as a `datasets.Dataset` with an `image` column."""
    import datasets

    if source.endswith(".parquet"):
        return datasets.load_dataset("parquet", data_files=source, split="train")
    return datasets.load_dataset(source, split="train")


def pixel_statistics(vision: str) -> dict[str, list[float]]:
    """Mean and deviation that a vision encoder was trained with; those of ImageNet where it does not say."""
    try:
        saved, _ = ImageProcessingMixin.get_image_processor_dict(vision)
    except OSError:
        logger.warning("'%s' has no preprocessor_config.json: images are normalised as ImageNet's.", vision)
        return {}
    return {name: saved[name] for name in ("image_mean", "image_std") if saved.get(name) is not None}


def catalog_texts(catalog: Any):
    # The template needs no tokenizer, but its class does; any rendering that names the same words will do here.
    for row in range(len(catalog)):
        record = to_record(_without_images(catalog, row))
        attributes = ", ".join(f"{name}: {value}" for name, value in (record["attributes"] or {}).items())
        yield " | ".join(filter(None, (record["title"], record["category"], attributes)))


def _without_images(catalog: Any, row: int) -> dict:
    return {name: value for name, value in catalog[row].items() if name not in ("image", "query_image")}


def build_eval_catalog(data: TigerFGDataArguments, *, image_size: int) -> Any:
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
