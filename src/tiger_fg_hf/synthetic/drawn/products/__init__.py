"""The product categories and how each is drawn."""

from __future__ import annotations

from ..spec import Category
from . import accessories, apparel, bags, furnishings, gadgets, leisure, sports, vessels

#: Every category by name, in a fixed order.
CATEGORIES: dict[str, Category] = {
    category.name: category
    for module in (vessels, apparel, accessories, bags, furnishings, gadgets, leisure, sports)
    for category in module.CATEGORIES
}

__all__ = ["CATEGORIES"]
