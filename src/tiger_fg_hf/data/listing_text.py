"""Texts of further listings: fewer words, in another order, with promotional words added."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..synthetic.overlays import Level, draw_title_words
from ..synthetic.streams import pick

# Fewest and most words that sellers add to a title.
_ADDED: Mapping[Level, tuple[int, int]] = {"clean": (0, 0), "light": (1, 1), "heavy": (2, 4)}
# Chinese and Japanese have no spaces, so pieces of one or two letters count as words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\s\u3040-\u30ff\u3400-\u9fff]+")
# An attribute of more parts or words than this, such as a list of search terms, is thinned like a title.
_LISTED = 3


def rewrite(
    text: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    keep_words: tuple[float, float],
    move_words: float,
    keep_attributes: tuple[float, float],
    drop_category_probability: float,
) -> dict[str, Any]:
    """Write another seller's text for a product.

    Args:
        text: Record of `title`, `category` and `attributes`.
        rng: The only source of randomness.
        keep_words: Range of the share of the title's words to keep, at least one word. Attributes with more than three
            parts or words are thinned in the same way.
        move_words: Approximate largest number of places that a word moves.
        keep_attributes: Range of the share of the attributes that are kept.
        drop_category_probability: How often the category is left out.

    Returns:
        A record of the same fields. Its title is empty only where `text` has none.
    """
    words = _thinned(_WORD.findall(text["title"] or ""), rng.uniform(*keep_words), rng)
    places = np.arange(len(words)) + rng.uniform(0, move_words, size=len(words))
    title = " ".join(words[index] for index in np.argsort(places, kind="stable"))
    category = None if rng.random() < drop_category_probability else text["category"]
    attributes = text["attributes"] or {}
    names = list(attributes)
    count = round(rng.uniform(*keep_attributes) * len(names))
    rewritten = {}
    for index in sorted(rng.permutation(len(names))[:count].tolist()):
        value = attributes[names[index]]
        separator = ", " if value.count(", ") >= _LISTED else " "
        parts = value.split(separator)
        if len(parts) > _LISTED:
            parts = _thinned(parts, rng.uniform(*keep_words), rng)
        rewritten[names[index]] = separator.join(parts)
    return {"title": title, "category": category, "attributes": rewritten or None}


def advertise(title: str, level: Level, rng: np.random.Generator) -> str:
    """Add the promotional words of a level before and after a title: none, one, or two to four."""
    low, high = _ADDED[level]
    words = [title]
    for word in draw_title_words(int(rng.integers(low, high + 1)), rng):
        words.insert(pick(rng, (0, len(words))), word)
    return " ".join(words)


def _thinned(parts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """Keep a share of some parts in their order, at least one if there are any."""
    count = min(len(parts), max(1, round(share * len(parts))))
    return [parts[index] for index in sorted(rng.permutation(len(parts))[:count].tolist())]
