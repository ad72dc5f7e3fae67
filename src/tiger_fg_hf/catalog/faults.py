"""Rows of a catalog that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RowFault:
    """A row that cannot be used.

    Attributes:
        row: Row number in the catalog.
        item_id: The row's `item_id`, or None if it has none or it cannot be read.
        reason: What is wrong with the row.

    Example:
        >>> print(RowFault(21, "B07XYZ", "photos/21.jpg cannot be read: the file is empty"))
        row 21 (item_id 'B07XYZ'): photos/21.jpg cannot be read: the file is empty
    """

    row: int
    item_id: str | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} (item_id {self.item_id!r}): {self.reason}"
