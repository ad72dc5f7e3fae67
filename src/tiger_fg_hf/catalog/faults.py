"""Rows of a catalog that cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..models.value_text import shown

# What our processors call the only element of a batch.
_BATCH_OF_ONE = re.compile(r"^(?:text\[0\]: |item 0 )")


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
        return f"row {self.row} (item_id {shown(self.item_id)}): {self.reason}"


def reason_of(error: Exception) -> str:
    """Say what is wrong with a row, without its place in its batch."""
    message = _BATCH_OF_ONE.sub("", str(error)).replace("images[0]", "image")
    return message if isinstance(error, ValueError) and message else f"{type(error).__name__}: {message}"
