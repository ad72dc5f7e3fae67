"""Oddities of a catalog that are worth reporting but do not make a row unusable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..models.html_text import has_html
from ..models.value_text import value_text

_LABELS = {
    "missing_images": "rows without a picture, embedded from their text alone",
    "empty_texts": "rows without title, category and attributes",
    "empty_titles": "empty titles",
    "html_titles": "titles with HTML",
    "cut_texts": "texts cut at the processor's max_length",
    "clipped_boxes": "boxes clipped to their image",
    "duplicate_item_ids": "repeated item_ids",
}


def count_notes(records: Sequence[Mapping[str, Any]], processor: Any = None) -> dict[str, int]:
    """Count the oddities of some records: `empty_titles`, `html_titles` and `cut_texts`.

    Args:
        records: Records that the processor can render. Those without the key `title` do not count as empty titles.
        processor: Counts the texts that it would cut at its `max_length`, if it has a method `count_cut`.

    Returns:
        The counts that are not zero.
    """
    titles = [value_text(record["title"]) for record in records if "title" in record]
    counts = {
        "empty_titles": sum(not title for title in titles),
        "html_titles": sum(map(has_html, titles)),
        "cut_texts": processor.count_cut(records) if records and hasattr(processor, "count_cut") else 0,
    }
    return {name: count for name, count in counts.items() if count}


def total_notes(counts: Iterable[Mapping[str, int]], item_ids: Sequence[str | None] = ()) -> dict[str, int]:
    """Add up the notes of batches, and count `duplicate_item_ids`: rows that repeat the id of an earlier row.

    Example:
        >>> total_notes([{"empty_titles": 2}, {"empty_titles": 1}], ["a", "b", "a"])
        {'empty_titles': 3, 'duplicate_item_ids': 1}
    """
    total: Counter[str] = Counter()
    for notes in counts:
        total.update(notes)
    known = [item_id for item_id in item_ids if item_id is not None]
    total["duplicate_item_ids"] = len(known) - len(set(known))
    return {name: count for name, count in total.items() if count}


def describe_notes(notes: Mapping[str, int]) -> str:
    """Describe counted notes in one line.

    Example:
        >>> describe_notes({"empty_titles": 12, "html_titles": 3})
        'empty titles: 12, titles with HTML: 3'
    """
    return ", ".join(f"{_LABELS[name]}: {count}" for name, count in notes.items())
