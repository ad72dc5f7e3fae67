"""Titles as shops write them, in several word orders."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..streams import pick
from .spec import Category


def write_title(category: Category, attributes: Mapping[str, str], rng: np.random.Generator) -> str:
    """Write a title with the category, the main color, the material and further attributes.

    Args:
        category: The product's category.
        attributes: Its attributes. Every word of the title comes from them or from the category.
        rng: Chooses among word orders and synonyms.
    """
    noun = pick(rng, category.nouns)
    color, material, brand = attributes["color"], attributes["material"], attributes["brand"]
    shape, detail = attributes.get("shape", ""), attributes.get("detail", "")
    pattern = "" if attributes["pattern"] == "solid" else attributes["pattern"]
    extras = []
    if pattern:
        color = f"{color} and {attributes['pattern_color']}"
    if "mark" in attributes:
        extras.append(pick(rng, ("with {} print", "with {} motif", "{} print")).format(_mark_words(attributes, rng)))
    if detail and rng.random() < 0.6:
        extras.append(detail)
    if "accent_color" in attributes and rng.random() < 0.65:
        extras.append(f"{attributes['accent_color']} {attributes['accent']}")
    head = [shape if rng.random() < 0.7 else "", pattern, material, noun]
    order = int(rng.integers(4))
    if order == 0:
        text = _join(brand, color, *head, separator=" ")
    elif order == 1:
        text = f"{_join(*head, separator=' ')} in {color}"
        extras.append(f"by {brand}")
    elif order == 2:
        text = f"{brand} {_join(*head, separator=' ')}, {color}"
    else:
        text = f"{_join(color, *head, separator=' ')}"
        if rng.random() < 0.5:
            extras.insert(0, brand)
    title = _join(text, *extras, separator=", ").replace(", with", " with")
    return title[0].upper() + title[1:]


def _mark_words(attributes: Mapping[str, str], rng: np.random.Generator) -> str:
    mark = attributes["mark"]
    return f"{attributes['mark_color']} {mark}" if rng.random() < 0.6 else mark


def _join(*words: str, separator: str) -> str:
    return separator.join(word for word in words if word)
