"""Join query photos to the listings of their products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from datasets import Dataset

from ..models.value_text import value_text


class PairedCatalog:
    """Real queries joined to the listings of their items, made by `pair_queries`.

    Reads like a `datasets.Dataset`, but copies no images. Row `i` is the listing of query `i`, with the photo of the
    query as `query_image`. Queries of an item with several listings take them in turn.

    Args:
        queries: Catalog of query photos.
        items: Catalog of listings.
        listing_rows: Row in `items` of each query.
    """

    def __init__(self, queries: Dataset, items: Dataset, listing_rows: Sequence[int]):
        self.queries = queries
        self.items = items
        self.listing_rows = list(listing_rows)
        self._photo = "query_image" if "query_image" in queries.column_names else "image"

    @property
    def column_names(self) -> list[str]:
        """Columns of the listings, with `query_image`."""
        return [name for name in self.items.column_names if name != "query_image"] + ["query_image"]

    def __len__(self) -> int:
        return len(self.listing_rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        photo = self.queries[index][self._photo]
        return {**self.items[self.listing_rows[index]], "query_image": photo}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def select(self, rows: Sequence[int]) -> PairedCatalog:
        """Return some of the queries; each keeps its listing."""
        return PairedCatalog(self.queries.select(rows), self.items, [self.listing_rows[row] for row in rows])


def pair_queries(queries: Dataset, items: Dataset) -> PairedCatalog:
    """Join a catalog of query photos to a catalog of listings by `item_id`.

    Args:
        queries: Catalog from `load_catalog`; its `query_image`, or else its `image`, is the user's photo.
        items: Catalog from `load_catalog`, with `image`.

    Raises:
        ValueError: If `items` has no images, or lacks items of `queries` (the message names their ids).
    """
    if "image" not in items.column_names:
        raise ValueError(f"items: a listing needs the column 'image', found {items.column_names}")
    rows_of: dict[str, list[int]] = {}
    for row, item_id in enumerate(items["item_id"]):
        rows_of.setdefault(value_text(item_id), []).append(row)
    query_ids = [value_text(item_id) for item_id in queries["item_id"]]
    missing = sorted({item_id for item_id in query_ids if item_id not in rows_of})
    if missing:
        shown = ", ".join(map(repr, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise ValueError(f"queries: {len(missing)} item_id(s) have no listing in items: {shown}")
    turns: dict[str, int] = {}
    listing_rows = []
    for item_id in query_ids:
        turn = turns.get(item_id, 0)
        turns[item_id] = turn + 1
        listing_rows.append(rows_of[item_id][turn % len(rows_of[item_id])])
    return PairedCatalog(queries, items, listing_rows)
