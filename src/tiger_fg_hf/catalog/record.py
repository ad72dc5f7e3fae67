"""The record: the one form in which every part of the package reads a row of a catalog."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..models.record_text import check_names, fold_attributes
from ..models.value_text import shown, value_text

IMAGE_COLUMNS = ("image", "query_image")
"""The names of the schema that hold images."""


def to_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row of a loaded catalog into a record.

    Args:
        row: A row of a catalog that `load_catalog` returned, or a record; columns outside the schema are dropped.

    Returns:
        A dict with all names of the schema: `item_id` and `title` str (`""` without a title), `category` str or None,
        `attributes` dict of str to str or None (see `fold_attributes`), `box` four floats `[x0, y0, x1, y1]` in pixels
        of `image` or None, and the two image columns as in the row, or None.

    Raises:
        ValueError: If `item_id` is empty, or a value cannot be read; the message names the item.

    Example:
        >>> record = to_record({"item_id": 7, "title": "Mug", "attributes.color": "teal", "box": "[0, 0, 40, 30]"})
        >>> record["item_id"], record["attributes"], record["box"]
        ('7', {'color': 'teal'}, [0.0, 0.0, 40.0, 30.0])
    """
    item_id = read_item_id(row)
    try:
        check_names(row)
        return {
            "item_id": item_id,
            "image": row.get("image"),
            "title": value_text(row.get("title"), "title"),
            "category": value_text(row.get("category"), "category") or None,
            "attributes": fold_attributes(row),
            "box": read_box(row.get("box")),
            "query_image": row.get("query_image"),
        }
    except ValueError as error:
        raise ValueError(f"item {shown(item_id)}: {error}") from None


def read_item_id(row: Mapping[str, Any]) -> str:
    """Return the `item_id` of a row as text.

    Raises:
        ValueError: If it is empty or cannot be read as text; the message gives the title.
    """
    try:
        item_id = value_text(row.get("item_id"), "item_id")
    except ValueError as error:
        raise ValueError(f"catalog row (title {shown(row.get('title'))}): {error}") from None
    if not item_id:
        raise ValueError(f"catalog row has an empty item_id (title {shown(row.get('title'))})")
    return item_id


def read_box(value: Any) -> list[float] | None:
    """Read a box from four numbers or their JSON text.

    Raises:
        ValueError: If it is not `[x0, y0, x1, y1]`, finite and not empty.

    Example:
        >>> read_box("[0, 0, 40, 30]")
        [0.0, 0.0, 40.0, 30.0]
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise ValueError(f"expected box [x0, y0, x1, y1], found {shown(value)}") from None
    if value is None:
        return None
    try:
        box = [] if isinstance(value, str | Mapping) else [float(side) for side in value]
    except Exception:  # any object may be in a record
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"expected box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, found {shown(value)}")
    return box
