"""A catalog of drawn products: deterministic, without downloads or photographs.

`drawn_catalog` draws a whole `datasets.Dataset`. Its parts are `sample_product`, which draws what a product is,
`render_product`, which draws the product alone, `render_listing`, which draws a shop's picture of it with its box, and
`render_query`, which draws a shopper's photo of it.
"""

from .catalog import drawn_catalog
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
    "drawn_catalog",
    "render_listing",
    "render_product",
    "render_query",
    "sample_product",
]
