"""The product categories: `categories.toml` describes them, and the modules here draw them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ..spec import Category
from . import accessories, apparel, bags, furnishings, gadgets, leisure, sports, vessels

_DRAWERS = {
    name: draw
    for module in (vessels, apparel, accessories, bags, furnishings, gadgets, leisure, sports)
    for name, draw in module.DRAWERS.items()
}
_TABLES = tomllib.loads((Path(__file__).parent / "categories.toml").read_text(encoding="utf-8"))

#: Every category by name, in a fixed order.
CATEGORIES: dict[str, Category] = {
    name: Category.from_table(name, _DRAWERS[name], table) for name, table in _TABLES.items()
}

__all__ = ["CATEGORIES"]
