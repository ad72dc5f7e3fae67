"""Catalog rows as records, for encoding and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from .pairing import PairedCatalog
from .record import to_record


class CatalogRecords(Sequence):
    """Reads a loaded catalog as records, row by row. Leaves out missing values, except that `box` is None.

    Args:
        catalog: A catalog from `load_catalog` (not streamed) or `pair_queries`.

    Example:
        >>> from datasets import Dataset
        >>> catalog = Dataset.from_list([{"item_id": "a", "title": " Mug ", "attributes.color": "teal"}])
        >>> CatalogRecords(catalog)[0]
        {'item_id': 'a', 'title': 'Mug', 'attributes': {'color': 'teal'}, 'box': None}
    """

    def __init__(self, catalog: Dataset | PairedCatalog):
        self.catalog = catalog

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def column_names(self) -> list[str]:
        """Column names of the catalog."""
        return self.catalog.column_names

    def __getitem__(self, row: Any) -> Any:
        try:
            record = to_record(self.catalog[row])
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from None
        return {name: value for name, value in record.items() if value is not None or name == "box"}


def has_every_query(catalog: Dataset | PairedCatalog) -> bool:
    """Return whether every row has a real query; reads no image."""
    if "query_image" not in catalog.column_names:
        return False
    # For a selection, this looks at the whole table: a query that is missing outside the selection counts as well.
    return isinstance(catalog, PairedCatalog) or not catalog.data.column("query_image").null_count
