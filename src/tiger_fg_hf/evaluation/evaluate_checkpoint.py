"""Evaluate a TIGER-FG checkpoint on a catalog, with real or synthesized queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ..catalog.records import CatalogRecords, has_every_query
from ..catalog.source import load_catalog
from ..data.catalog_queries import synthesize_queries
from ..data.clutter import open_clutter
from ..data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from ..models.modeling_tiger_fg import TigerFGModel
from ..models.processing_tiger_fg import TigerFGProcessor
from ..synthetic.drawn import drawn_catalog
from .retrieval import RetrievalResult, evaluate_retrieval

ColumnMapping = Mapping[str, str | Sequence[str]] | str | None
"""Schema name -> source column, or the text form `"title=name,attributes=color"`."""

_DRAWN_PRODUCTS, _DRAWN_SIZE = 500, 160
_WITHOUT_TEXT = ("item_id", "image", "box")


def evaluate_checkpoint(
    checkpoint: str | Path | tuple[TigerFGModel, TigerFGProcessor],
    items: Any,
    *,
    columns: ColumnMapping = None,
    queries: str | Path | None = None,
    query_columns: ColumnMapping = None,
    clutter: str | None = None,
    layout: Literal["clean", "clutter", "mixed"] = "mixed",
    limit: int | None = None,
    allow_outside: bool = False,
    without_text: bool = False,
    batch_size: int = 64,
    num_workers: int = 0,
    show_progress: bool = False,
    seed: int = 0,
) -> RetrievalResult:
    """Measure how well crops find their listings.

    The queries are the photos of `queries`, or else the column `query_image` of the items. Missing queries are
    synthesized from the listings. Runs on the GPU if there is one.

    Args:
        checkpoint: Hub id or folder of a [`TigerFGModel`], or a model and its processor.
        items: folder, file or Hub id of the listings; `"drawn"` for held-out drawings; or a loaded catalog.
        columns: columns of the items; default: the mapping that the processor was trained with.
        queries: folder, file or Hub id of query photos with item ids.
        query_columns: columns of `queries`.
        clutter: folder, parquet file or Hub id of background photos for synthesized queries; default: drawn ones.
        layout: layout of drawn listings.
        limit: number of listings to use; default: all, or 500 if drawn.
        allow_outside: read image paths that leave the folder of their catalog; see `load_catalog`.
        without_text: leave the text of the listings out.
        batch_size: pictures per forward pass.
        num_workers: processes that prepare pictures.
        show_progress: show progress bars.
        seed: seed of synthesized queries and of the bootstrap.

    Returns:
        Metrics with intervals; see [`RetrievalResult.to_markdown`] and [`RetrievalResult.to_json`].

    Raises:
        ValueError: if a column is missing, a query has no item, or a picture cannot be read.

    Example:
        ```python
        from tiger_fg_hf.evaluation.evaluate_checkpoint import evaluate_checkpoint

        result = evaluate_checkpoint("model_cards/tiger-fg-tiny", "items.parquet", columns="title=name,image=photo")
        print(result.to_markdown())
        ```
    """
    if isinstance(checkpoint, tuple):
        model, processor = checkpoint
    else:
        model = TigerFGModel.from_pretrained(checkpoint)
        processor = TigerFGProcessor.from_pretrained(checkpoint)
    if isinstance(items, (str, Path)):
        items = open_items(
            items, columns=columns or processor.columns, layout=layout, limit=limit, allow_outside=allow_outside
        )
    query_rows: Sequence[Mapping[str, Any]]
    if queries is not None:
        query_rows = CatalogRecords(load_catalog(queries, columns=query_columns, allow_outside=allow_outside))
    elif has_every_query(items):
        query_rows = CatalogRecords(items)
    else:
        side = (processor.query_size or processor.image_processor.size)["height"]
        synthesizer = QuerySynthesizer(
            QuerySynthesisConfig.preset("default", size=side), open_clutter(clutter, "query", size=side)
        )
        query_rows = synthesize_queries(items, synthesizer, seed=seed)
    item_rows: Sequence[Mapping[str, Any]] = CatalogRecords(items)
    if without_text:
        item_rows = [{name: value for name, value in row.items() if name in _WITHOUT_TEXT} for row in item_rows]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    query_tower, item_tower = model.eval().to(device).towers()
    return evaluate_retrieval(
        query_tower,
        item_tower,
        processor,
        query_rows,
        item_rows,
        batch_size=batch_size,
        num_workers=num_workers,
        show_progress=show_progress,
        seed=seed,
    )


def open_items(
    source: str | Path,
    *,
    columns: ColumnMapping = None,
    layout: Literal["clean", "clutter", "mixed"] = "mixed",
    limit: int | None = None,
    allow_outside: bool = False,
) -> Any:
    """Open the listings to evaluate.

    Args:
        source: folder, file or Hub id; `"drawn"` for held-out drawings.
        columns: columns of the source.
        layout: layout of drawn listings.
        limit: number of listings to use; default: all, or 500 if drawn.
        allow_outside: read image paths that leave the folder; see `load_catalog`.
    """
    if source == "drawn":
        products = limit or _DRAWN_PRODUCTS
        return load_catalog(drawn_catalog(num_products=products, split="test", layout=layout, size=_DRAWN_SIZE))
    catalog = load_catalog(source, columns=columns, allow_outside=allow_outside)
    return catalog if limit is None else catalog.select(range(min(limit, len(catalog))))
