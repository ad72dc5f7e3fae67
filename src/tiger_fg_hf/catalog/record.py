"""The record: the one form in which every part of the package reads a row of a catalog."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

SCHEMA = ("item_id", "image", "title", "category", "attributes", "box", "query_image")
"""The columns of a catalog, in order. `item_id` and one of `image`, `query_image` are required."""


IMAGE_COLUMNS = ("image", "query_image")


# Columns that become attributes stay separate under this prefix, and `to_record` folds them into one dict: no row has
# to be rewritten, and a catalog saved to disk or streamed carries its own mapping.
ATTRIBUTE_PREFIX = "attributes."


def to_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row of a loaded catalog into the one record.

    Returns:
        A dict with all names of `SCHEMA`: `item_id` and `title` str (no title is `""`), `category` str or None,
        `attributes` dict of str to str or None (lists joined by `", "`, empty values dropped), `box` four floats
        `[x0, y0, x1, y1]` in pixels of `image` or None, and the two image columns as they are in the row or None.

    Raises:
        ValueError: for an empty `item_id`, or a box or attributes that cannot be read, naming the item.
    """
    item_id = text_of(row.get("item_id"))
    if not item_id:
        raise ValueError(f"catalog row has an empty item_id (title {row.get('title')!r})")
    return {
        "item_id": item_id,
        "image": row.get("image"),
        "title": text_of(row.get("title")),
        "category": text_of(row.get("category")) or None,
        "attributes": _attributes(row, item_id),
        "box": _box(row.get("box"), item_id),
        "query_image": row.get("query_image"),
    }


def text_of(value: Any) -> str:
    """Render an attribute value: lists joined, mappings as JSON, None and NaN empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple | set):
        return ", ".join(filter(None, map(text_of, value)))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()


def _attributes(row: Mapping[str, Any], item_id: str) -> dict[str, str] | None:
    attributes: dict[str, str] = {}
    for column, value in row.items():
        if column != "attributes" and not column.startswith(ATTRIBUTE_PREFIX):
            continue
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"item {item_id!r}: {column} is no valid JSON ({error}): {value[:80]!r}") from None
        pairs = value if isinstance(value, Mapping) else {column.removeprefix(ATTRIBUTE_PREFIX): value}
        attributes |= {str(name): text for name, item in pairs.items() if (text := text_of(item))}
    return attributes or None


def _box(value: Any, item_id: str) -> list[float] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except json.JSONDecodeError:
            raise ValueError(f"item {item_id!r}: expected box [x0, y0, x1, y1], found {value!r}") from None
    if value is None:
        return None
    try:
        box = [float(side) for side in value]
    except (TypeError, ValueError):
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"item {item_id!r}: expected box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, found {value!r}")
    return box
