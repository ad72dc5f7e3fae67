"""Maps the columns of a source to the schema of a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from .record import ATTRIBUTE_PREFIX, SCHEMA

Columns: TypeAlias = Mapping[str, str | Sequence[str]]


def parse_columns(text: str) -> dict[str, str | list[str]]:
    """Parse the command-line form of a column mapping.

    `"attributes=color+keywords,title=name"` → `{"attributes": ["color", "keywords"], "title": "name"}`. Several source
    columns, joined by `+`, are for `attributes` only. An empty string is an empty mapping.

    Raises:
        ValueError: for an entry that is not `name=column`, a name outside the schema, or one given twice.
    """
    columns: dict[str, str | list[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = (part.strip() for part in entry.partition("="))
        sources = [part.strip() for part in source.split("+")]
        if not equals or not name or not all(sources):
            raise ValueError(f"columns: expected 'name=column' or 'attributes=column+column', found {entry!r}")
        if name in columns:
            raise ValueError(f"columns: {name!r} is given twice in {text!r}")
        columns[name] = sources if len(sources) > 1 else sources[0]
    check_mapping(columns)
    return columns


def check_mapping(columns: Columns) -> None:
    for name, source in columns.items():
        if name not in SCHEMA:
            raise ValueError(f"columns: {name!r} is no schema name, expected one of {', '.join(SCHEMA)}")
        if name != "attributes" and not isinstance(source, str):
            raise ValueError(f"columns: {name!r} takes one source column, found {source!r}")


def plan_columns(columns: Columns, found: list[str]) -> dict[str, str]:
    """Map names of the loaded catalog to source columns."""
    mapping: dict[str, str] = {}
    for name in SCHEMA:
        wanted = columns.get(name)
        if wanted is None:
            if name in found:
                mapping[name] = name
            if name == "attributes":
                mapping |= {column: column for column in found if column.startswith(ATTRIBUTE_PREFIX)}
        elif name == "attributes":
            sources = [wanted] if isinstance(wanted, str) else wanted
            mapping |= {ATTRIBUTE_PREFIX + column: column for column in sources}
        else:
            mapping[name] = str(wanted)
    return mapping


def check_found(mapping: Mapping[str, str], columns: Columns, found: list[str], source: Any) -> None:
    label = f"catalog {source}" if isinstance(source, str | Path) else "catalog"
    for name, column in mapping.items():
        if column not in found:
            raise ValueError(f"{label}: no column {column!r} for {name!r}, found {', '.join(found)}")
    for name, alternatives in (("item_id", ["item_id"]), ("image", ["image", "query_image"])):
        if not any(alternative in mapping for alternative in alternatives):
            wanted = " or ".join(map(repr, alternatives))
            raise ValueError(
                f"{label}: no column {wanted}, found {', '.join(found)}; "
                f"name the column with columns={{{name!r}: ...}} or '{name}=...'"
            )
