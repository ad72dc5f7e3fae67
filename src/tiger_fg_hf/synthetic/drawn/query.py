"""Query pictures: a shopper's photo of a product, cropped closely."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ..jpeg import compress_jpeg
from ..streams import pick, random_stream
from .backgrounds import SNAPSHOTS
from .products import CATEGORIES
from .render import check_size, render_sprite
from .sampling import Product, sample_product
from .shadows import cast_shadow
from .view import listing_view, query_view

#: Longest side of the product as a share of a query picture.
FILL = (0.8, 1.02)


def render_query(product: Product, *, size: int = 160, seed: int = 0) -> Image.Image:
    """Render a query picture, with another viewpoint, scale, light and backdrop than the listing.

    Args:
        product: The product.
        size: Side of the picture in pixels, at least 32.
        seed: Chooses view, light, backdrop and camera faults; 0 or more.

    Returns:
        RGB picture of `size` x `size`.

    Raises:
        ValueError: If `size` is below 32, or `seed` is negative.
    """
    check_size(size)
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    rng = random_stream("query", seed, product.item_id)
    picture = pick(rng, SNAPSHOTS)(size, rng).image
    # A mirrored print would contradict the text; a mirrored pattern would not.
    view = query_view(rng, may_flip=not product.look.mark)
    if rng.random() < 0.4:
        _add_neighbour(picture, size, rng)
    sprite = render_sprite(product, round(size * rng.uniform(*FILL)), view)
    x = round((size - sprite.width) / 2 + size * rng.uniform(-0.04, 0.04))
    y = round((size - sprite.height) / 2 + size * rng.uniform(-0.04, 0.04))
    flat = CATEGORIES[product.category].lies_flat or abs(view.roll) > 12.0
    cast_shadow(picture, sprite, (x, y), lies_flat=flat, side=pick(rng, (-1, 1)))
    picture.paste(sprite, (x, y), sprite)
    return _camera_faults(picture, rng, brightness=view.brightness)


def _add_neighbour(picture: Image.Image, size: int, rng: np.random.Generator) -> None:
    """Paste part of another product at an edge."""
    other = sample_product(int(rng.integers(2**20)), int(rng.integers(2**20)), "distractors")
    sprite = render_sprite(other, int(size * rng.uniform(0.4, 0.7)), listing_view(rng, tilt=25.0))
    x = pick(rng, (-int(sprite.width * 0.62), size - int(sprite.width * 0.38)))
    y = int(rng.uniform(-0.3, 0.7) * size)
    cast_shadow(picture, sprite, (x, y), lies_flat=True, side=1)
    picture.paste(sprite, (x, y), sprite)


def _camera_faults(picture: Image.Image, rng: np.random.Generator, *, brightness: float) -> Image.Image:
    """Add the faults of a phone camera: a little blur, grain, and JPEG artifacts."""
    if rng.random() < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(picture.width / 160 * rng.uniform(0.3, 0.9)))
    if rng.random() < 0.5:
        grain = rng.standard_normal((picture.height, picture.width, 1)) * rng.uniform(1.5, 5.0) / brightness
        picture = Image.fromarray(np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        picture = compress_jpeg(picture, int(rng.integers(45, 85)))
    return picture
