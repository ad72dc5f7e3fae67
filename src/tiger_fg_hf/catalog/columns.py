"""Column mappings: from the columns of a source to the schema of a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import datasets

from ..models.record_text import ATTRIBUTE_PREFIX, SCHEMA, check_mapping

Columns: TypeAlias = Mapping[str, str | Sequence[str]]
"""Schema name to source column; `attributes` may have several."""

_PICTURE_TYPES = ("string", "string_view", "binary", "binary_view", "null")


def parse_columns(text: str) -> dict[str, str | list[str]]:
    """Parse the command-line form of a column mapping.

    Args:
        text: Entries `name=column`, joined by commas. `attributes` may name several columns, joined by `+`.

    Returns:
        Schema name to source column or columns; an empty string gives an empty mapping.

    Raises:
        ValueError: If an entry is not `name=column`, or a name is not in the schema or given twice.

    Example:
        >>> parse_columns("attributes=color+keywords,title=name")
        {'attributes': ['color', 'keywords'], 'title': 'name'}
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


def format_columns(columns: Columns) -> str:
    """Write a column mapping in the form that `parse_columns` reads.

    Raises:
        ValueError: If a column's name contains one of the separators `,`, `=` and `+`.

    Example:
        >>> format_columns({"attributes": ["color", "keywords"], "title": "name"})
        'attributes=color+keywords,title=name'
    """
    entries = []
    for name, sources in columns.items():
        sources = [sources] if isinstance(sources, str) else sources
        for source in sources:
            if set(source) & set(",=+"):
                raise ValueError(f"columns: the name {source!r} contains a separator, so it has no command-line form")
        entries.append(f"{name}={'+'.join(sources)}")
    return ",".join(entries)


def plan_columns(columns: Columns, found: list[str]) -> dict[str, str]:
    """Plan which source column becomes which column of the loaded catalog.

    Args:
        columns: The mapping that the user asked for.
        found: Columns of the source.

    Returns:
        Name in the loaded catalog to source column. Each source of `attributes` becomes `attributes.<column>`, which
        `fold_attributes` folds row by row, so that no column has to be rewritten.

    Example:
        >>> plan_columns({"title": "name", "attributes": ["color"]}, ["item_id", "name", "color"])
        {'item_id': 'item_id', 'title': 'name', 'attributes.color': 'color'}
    """
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
    """Check that a source has the planned columns, including `item_id` and an image.

    Args:
        mapping: From `plan_columns`.
        columns: The mapping that the user asked for.
        found: Columns of the source.
        source: The source, whose path is named in messages.

    Raises:
        ValueError: If a column is missing.
    """
    label = f"catalog {source}" if isinstance(source, str | Path) else "catalog"
    separator = next((each for each in ";|\t," if len(found) == 1 and each in found[0]), None)
    if separator is not None:
        raise ValueError(f"{label}: the only column is {found[0]!r}; separate fields by commas, not {separator!r}")
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


def check_image_types(mapping: Mapping[str, str], features: Mapping[str, Any]) -> None:
    """Check that image columns can hold pictures: images, paths, bytes, or arrays of two or three dimensions.

    `datasets` would turn a list of numbers into a picture of one row.

    Args:
        mapping: From `plan_columns`.
        features: Feature of each source column.

    Raises:
        ValueError: If a column has numbers or flat lists.
    """
    for name in ("image", "query_image"):
        feature = features[mapping[name]] if name in mapping else None
        element = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else None
        is_flat = isinstance(element, datasets.Value)
        is_number = isinstance(feature, datasets.Value) and not feature.dtype.endswith(_PICTURE_TYPES)
        if is_flat or is_number:
            raise ValueError(
                f"column {mapping[name]!r} for {name!r} holds {feature}, expected images, paths, bytes, or arrays of "
                "two or three dimensions"
            )
