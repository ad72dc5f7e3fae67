"""Rendering of one product: drawn from the front, then warped to the viewpoint."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..streams import random_stream
from .painter import Painter
from .products import CATEGORIES
from .sampling import Product
from .view import View

#: Alpha from which a pixel counts as visible.
VISIBLE_ALPHA = 96


def check_size(size: int) -> None:
    """Raise `ValueError` unless `size` is an integer of at least 32 pixels."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 32:
        raise ValueError(f"size: expected an integer of at least 32 pixels, found {size!r}")


def render_product(product: Product, size: int, *, view: View | None = None) -> Image.Image:
    """Render a product alone, centered on a transparent square.

    Args:
        product: The product.
        size: Side of the picture in pixels, at least 32.
        view: Viewpoint, scale and light; frontal by default.

    Returns:
        RGBA picture of `size` x `size`; the product's longest side is `view.scale * size`.

    Raises:
        ValueError: If `size` is below 32, or `view.scale` is not in (0, 1].
    """
    check_size(size)
    view = view or View()
    if not 0.0 < view.scale <= 1.0:
        raise ValueError(f"view.scale: expected a share in (0, 1], found {view.scale}")
    sprite = render_sprite(product, max(2, round(size * view.scale)), view)
    picture = Image.new("RGBA", (size, size))
    picture.paste(sprite, ((size - sprite.width) // 2, (size - sprite.height) // 2))
    return picture


def render_sprite(product: Product, longest: int, view: View, *, area: float | None = None) -> Image.Image:
    """Render a product cropped to its visible pixels.

    Args:
        product: The product.
        longest: Longest side in pixels; with `area`, its upper bound.
        view: Viewpoint and light; `view.scale` is ignored.
        area: Width times height to reach, in square pixels.

    Returns:
        RGBA picture of the size of the product.
    """
    look = product.look
    # With an area, the longest side is not known before the shape is drawn.
    expected = longest if area is None else min(longest, 1.3 * math.sqrt(area))
    noise = random_stream("texture", look.noise_seed).standard_normal((64, 64)).astype(np.float32)
    painter = Painter(max(128, round(2 * expected)), view, noise)
    CATEGORIES[product.category].draw(painter, look)
    x0, y0, x1, y1 = painter.canvas.getbbox() or (0, 0, painter.pixels, painter.pixels)
    # A transparent margin smooths the outermost edge too; a crop beyond the canvas adds it.
    drawn = painter.canvas.crop((x0 - 2, y0 - 2, x1 + 2, y1 + 2))
    double = _warp(drawn, view, 2 * longest, None if area is None else 4.0 * area)
    sprite = double.resize((double.width // 2, double.height // 2), Image.Resampling.BILINEAR)
    return _tinted(sprite.crop(_visible_box(sprite)), view)


def _visible_box(sprite: Image.Image) -> tuple[int, int, int, int]:
    box = sprite.getchannel("A").point(lambda value: 255 if value >= VISIBLE_ALPHA else 0).getbbox()
    return box or (0, 0, sprite.width, sprite.height)


def _homography(width: int, height: int, view: View) -> np.ndarray:
    """Return the 3x3 map from the drawn picture, centered and scaled to unit half-height, to the warped plane."""
    roll, yaw = np.radians(view.roll), np.radians(view.yaw)
    half = max(width, height) / 2.0
    centre = np.array([[1 / half, 0, -width / 2 / half], [0, 1 / half, -height / 2 / half], [0, 0, 1]])
    # The yaw foreshortens the width, and brings one side nearer.
    turn = np.diag([(-1.0 if view.flip else 1.0) * np.cos(yaw * 0.8), 1.0, 1.0])
    turn[2, 0], turn[2, 1] = 0.18 * np.sin(yaw), view.perspective
    lean = np.array([[1.0, view.shear, 0], [0, 1.0, 0], [0, 0, 1.0]])
    spin = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1.0]])
    return spin @ lean @ turn @ centre


def _warp(drawn: Image.Image, view: View, longest: int, area: float | None) -> Image.Image:
    """Warp to the viewpoint and scale to `area`, or to `longest` if that is smaller, with even sides."""
    width, height = drawn.size
    matrix = _homography(width, height, view)
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64).T
    plane = matrix @ corners
    plane = plane[:2] / plane[2]
    low, high = plane.min(axis=1), plane.max(axis=1)
    extent = high - low
    scale = longest / float(extent.max())
    if area is not None:
        scale = min(scale, math.sqrt(area / float(extent.prod())))
    fit = np.array([[scale, 0, -scale * low[0]], [0, scale, -scale * low[1]], [0, 0, 1]])
    inverse = np.linalg.inv(fit @ matrix)
    inverse = inverse / inverse[2, 2]
    out = [max(2, 2 * round(float(side) * scale / 2)) for side in extent]
    return drawn.transform(
        (out[0], out[1]), Image.Transform.PERSPECTIVE, inverse.ravel()[:8].tolist(), Image.Resampling.BILINEAR
    )


def _tinted(sprite: Image.Image, view: View) -> Image.Image:
    factors = [view.brightness * tint for tint in view.tint]
    if all(abs(factor - 1.0) < 1e-6 for factor in factors):
        return sprite
    tables = [np.clip(np.arange(256) * factor, 0, 255).astype(int).tolist() for factor in factors]
    return sprite.point(tables[0] + tables[1] + tables[2] + list(range(256)))
