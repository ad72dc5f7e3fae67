"""The drawn catalog as a `datasets.Dataset`."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from ..jpeg import encode_jpeg
from ..streams import random_stream
from .query import render_query
from .render import check_size
from .sampling import ATTRIBUTE_KEYS, sample_product
from .scene import LAYOUTS, render_listing

JPEG_QUALITY = 92


def drawn_catalog(
    *,
    num_products: int,
    split: str = "train",
    seed: int = 0,
    size: int = 160,
    layout: str = "mixed",
    views: int = 1,
    with_queries: bool = True,
    num_proc: int | None = None,
) -> Dataset:
    """Draw a catalog of products with listings, boxes, text and query photos.

    The same arguments give the same bytes in any process and for any `num_proc`, with the same version of Pillow.

    Args:
        num_products: Number of products, 1 or more.
        split: Name of the split; different splits hold different products.
        seed: Seed of the catalog, 0 or more.
        size: Side of every picture in pixels, at least 32.
        layout: "clean", "clutter", or "mixed", which draws one of the two for each row.
        views: Rows per product, 1 or more, with the same `item_id` and different pictures.
        with_queries: Whether to draw `query_image`.
        num_proc: Number of processes; None or 1 draws in this one.

    Returns:
        A dataset of `num_products * views` rows, with the views of a product next to each other and the columns
        `item_id`, `image`, `title`, `category`, `attributes` (a struct; None where a key does not apply),
        `box` (`[x0, y0, x1, y1]` in pixels) and, if asked for, `query_image`. Pictures are JPEG bytes.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> catalog = drawn_catalog(num_products=2, size=32, with_queries=False)
        >>> len(catalog), catalog.column_names
        (2, ['item_id', 'image', 'title', 'category', 'attributes', 'box'])
    """
    for name, value in (("num_products", num_products), ("views", views)):
        if value < 1:
            raise ValueError(f"{name}: expected 1 or more, found {value}")
    if num_proc is not None and num_proc < 1:
        raise ValueError(f"num_proc: expected None or at least 1, found {num_proc}")
    if layout not in (*LAYOUTS, "mixed"):
        raise ValueError(f"layout: expected one of {(*LAYOUTS, 'mixed')}, found {layout!r}")
    check_size(size)
    sample_product(seed, 0, split)  # refuses a bad seed or split before any work is done

    draw = partial(
        _draw_rows, split=split, seed=seed, size=size, layout=layout, views=views, with_queries=with_queries
    )
    if num_proc is None or num_proc == 1:
        groups = map(draw, range(num_products))
        rows = [row for group in groups for row in group]
    else:
        # A fresh interpreter per worker: forking a process that already runs threads can deadlock.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(num_proc, mp_context=context) as pool:
            rows = [row for group in pool.map(draw, range(num_products), chunksize=8) for row in group]
    features = _features(with_queries)
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def _features(with_queries: bool) -> Features:
    columns: dict[str, Any] = {
        "item_id": Value("string"),
        "image": ImageFeature(),
        "title": Value("string"),
        "category": Value("string"),
        "attributes": {key: Value("string") for key in ATTRIBUTE_KEYS},
        "box": List(Value("int32"), length=4),
    }
    if with_queries:
        columns["query_image"] = ImageFeature()
    return Features(columns)


def _draw_rows(
    index: int, *, split: str, seed: int, size: int, layout: str, views: int, with_queries: bool
) -> list[dict[str, Any]]:
    """Draw every row of one product."""
    product = sample_product(seed, index, split)
    rows = []
    for view in range(views):
        row_layout = layout
        if layout == "mixed":
            row_layout = LAYOUTS[int(random_stream("layout", seed, split, index, view).integers(2))]
        image, box = render_listing(product, layout=row_layout, size=size, seed=view)
        row = {
            "item_id": product.item_id,
            "image": _encode(image),
            "title": product.title,
            "category": product.category,
            "attributes": {key: product.attributes.get(key) for key in ATTRIBUTE_KEYS},
            "box": box,
        }
        if with_queries:
            row["query_image"] = _encode(render_query(product, size=size, seed=view))
        rows.append(row)
    return rows


def _encode(image: Image.Image) -> dict[str, Any]:
    return {"bytes": encode_jpeg(image, JPEG_QUALITY), "path": None}
