"""A catalog without its images, in memory: texts and boxes by row, and texts of other categories to draw."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..catalog.record import IMAGE_COLUMNS, to_record

_KEPT = ("item_id", "title", "category", "attributes", "box")


class TextTable:
    """Records of a catalog without their images, in one flat array.

    Workers share the array; separate objects would be copied, page by page, into every worker.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed.

    Raises:
        ValueError: If a row has an empty `item_id`, or a box or attributes that cannot be read; the message names the
            row and the item.
    """

    def __init__(self, catalog: Dataset | PairedCatalog):
        listings = catalog.items if isinstance(catalog, PairedCatalog) else catalog
        listings = listings.select_columns([name for name in listings.column_names if name not in IMAGE_COLUMNS])
        encoded = bytearray()
        ends = [0]
        numbers: dict[str, dict[str | None, int]] = {name: {None: -1} for name in ("item_id", "title", "category")}
        codes: dict[str, list[int]] = {name: [] for name in numbers}
        for number, row in enumerate(listings):
            try:
                record = to_record(row)
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from None
            encoded += json.dumps({name: record[name] for name in _KEPT}).encode()
            ends.append(len(encoded))
            for name, numbered in numbers.items():
                codes[name].append(numbered.setdefault(record[name] or None, len(numbered) - 1))
        rows = np.array(catalog.listing_rows if isinstance(catalog, PairedCatalog) else range(len(listings)), np.int64)
        self._bytes = np.frombuffer(encoded, np.uint8)
        self._starts, self._ends = np.array(ends[:-1])[rows], np.array(ends[1:])[rows]
        self._items, self._titles, self._categories = (np.array(codes[name], np.int64)[rows] for name in numbers)
        self._category_names = [name for name in numbers["category"] if name is not None]
        # Rows of one category are contiguous in this order, so that a row of any other category is one draw.
        known = np.flatnonzero(self._categories >= 0)
        self._by_category = known[np.argsort(self._categories[known], kind="stable")]
        self._spans = np.searchsorted(self._categories[self._by_category], np.arange(len(self._category_names) + 1))
        self._titled = np.flatnonzero(self._titles >= 0)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a row's `item_id`, `title`, `category`, `attributes` and `box`, as in `to_record`."""
        return json.loads(self._bytes[self._starts[row] : self._ends[row]].tobytes())

    @property
    def categories(self) -> list[str | None]:
        """Category of each row; None without one."""
        return [None if code < 0 else self._category_names[code] for code in self._categories.tolist()]

    @property
    def items(self) -> np.ndarray:
        """Number of each row's item, `[rows]` int64; equal for equal `item_id`."""
        return self._items

    @property
    def has_contrast(self) -> bool:
        """Whether texts differ in category or, where none is known, in title, as `draw_others` requires."""
        if self._category_names:
            return len(self._category_names) > 1
        return len(np.unique(self._titles[self._titled])) > 1

    def draw_others(self, row: int, count: int, rng: np.random.Generator) -> list[int]:
        """Draw rows whose text is wrong for a row.

        These are rows of another known category or, for a row without a category, any rows with a title. They never
        share the item or the title of `row`.

        Args:
            row: The row.
            count: How many to draw; a row may be drawn twice.
            rng: The only source of randomness.

        Raises:
            ValueError: If there is no such row.
        """
        category = self._categories[row]
        if category < 0:
            candidates, first, skipped = self._titled, 0, 0
        else:
            first, end = self._spans[category : category + 2].tolist()
            candidates, skipped = self._by_category, end - first
        available = len(candidates) - skipped
        drawn = []
        for place in rng.integers(available, size=count) if available else ():
            # The first try nearly always fits; if not, take the next row that does.
            for step in range(available):
                index = (place + step) % available
                other = candidates[index if index < first else index + skipped]
                if self._items[other] != self._items[row] and not self._same_title(other, row):
                    drawn.append(int(other))
                    break
        if len(drawn) < count:
            raise ValueError(
                f"row {row} (item {self[row]['item_id']!r}): no text of another item and category to contrast with"
            )
        return drawn

    def _same_title(self, row: int, other: int) -> bool:
        return self._titles[row] >= 0 and self._titles[row] == self._titles[other]


def text_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return the text of a record: `title`, `category` and `attributes`."""
    return {name: record[name] for name in ("title", "category", "attributes")}
