"""Catalog rows as the records that encoding and evaluation take, and queries synthesised for a whole catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from .pairing import PairedCatalog
from .record import to_record


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
