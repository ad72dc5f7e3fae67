"""A catalog of drawn products: deterministic, without downloads or photographs.

`sample_product` draws a product, `render_product` its picture alone, `render_listing` a shop's listing of it with its
box, `render_query` a shopper's view of it, and `drawn_catalog` a whole `datasets.Dataset`.
"""

from .catalog import drawn_catalog
from .overlays import draw_overlays
from .products import CATEGORIES
from .query import render_query
from .render import render_product
from .sampling import ATTRIBUTE_KEYS, Product, sample_product
from .scene import Scene, compose_listing, render_listing
from .view import View

__all__ = [
    "ATTRIBUTE_KEYS",
    "CATEGORIES",
    "Product",
    "Scene",
    "View",
    "compose_listing",
    "draw_overlays",
    "drawn_catalog",
    "render_listing",
    "render_product",
    "render_query",
    "sample_product",
]
