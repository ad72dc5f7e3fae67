"""The product categories and how each is drawn."""

from __future__ import annotations

from tiger_fg_hf.data.drawn.products import apparel, bags, furnishings, gadgets, leisure, vessels
from tiger_fg_hf.data.drawn.spec import Category

#: Every category by name, in a fixed order.
CATEGORIES: dict[str, Category] = {
    category.name: category
    for module in (vessels, apparel, bags, furnishings, gadgets, leisure)
    for category in module.CATEGORIES
}

__all__ = ["CATEGORIES"]
