"""Catalog rows as the records that encoding and evaluation take, and queries synthesised for a whole catalog."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from ..models.tiger_fg.image_loading_tiger_fg import load_rgb_image
from .catalog import PairedCatalog, to_record
from .synthesis import QuerySynthesizer

_QUERY_JPEG_QUALITY = 95


class CatalogRecords(Sequence):
    """A loaded catalog read as records, row by row; what a row lacks is left out.

    Args:
        catalog: from `load_catalog` or `pair_queries`, not streamed.
    """

    def __init__(self, catalog: Dataset | PairedCatalog):
        self.catalog = catalog

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def column_names(self) -> list[str]:
        """Those of the catalog."""
        return self.catalog.column_names

    def __getitem__(self, row: Any) -> Any:
        record = to_record(self.catalog[row])
        return {name: value for name, value in record.items() if value is not None or name == "box"}


def has_every_query(catalog: Dataset | PairedCatalog) -> bool:
    """Whether every row has a real query, without reading any picture."""
    if "query_image" not in catalog.column_names:
        return False
    # Of a selection the whole table is looked at: at worst, a query too many is thought missing.
    return isinstance(catalog, PairedCatalog) or not catalog.data.column("query_image").null_count


def synthesize_queries(
    catalog: Dataset | PairedCatalog, synthesizer: QuerySynthesizer, *, seed: int
) -> list[dict[str, Any]]:
    """One query for each row: `{"item_id", "query_image"}`, the row's own or else a synthesised one as JPEG bytes.

    The same for the same seed.

    Raises:
        ValueError: an image cannot be read; row and item are named.
    """
    queries = []
    for row in range(len(catalog)):
        record = to_record(catalog[row])
        if record["query_image"] is not None:
            queries.append({name: record[name] for name in ("item_id", "query_image")})
            continue
        image = load_rgb_image(record["image"], name=f"row {row} (item {record['item_id']!r}), image")
        rng = np.random.default_rng(np.random.SeedSequence([seed, row]))
        buffer = io.BytesIO()
        synthesizer(image, box=record["box"], rng=rng).save(buffer, "JPEG", quality=_QUERY_JPEG_QUALITY)
        queries.append({"item_id": record["item_id"], "query_image": {"bytes": buffer.getvalue(), "path": None}})
    return queries
