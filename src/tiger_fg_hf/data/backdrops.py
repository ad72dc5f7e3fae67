"""Backdrops of product photos: white, a colour, a gradient, or clutter."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .clutter import ClutterBank, drawn_clutter


class Backdrops(ClutterBank):
    """What shops put behind products, sampled as from a bank of clutter: white, a colour, a gradient, or clutter.

    Args:
        weights: how often each, against the others; not all 0.
        clutter: photos for the last; without any they are drawn.
    """

    def __init__(self, weights: tuple[float, float, float, float], clutter: ClutterBank | None = None):
        self.clutter = clutter
        self.pixels = np.zeros((0, 1, 1, 3), np.uint8) if clutter is None else clutter.pixels
        self._shares = np.array(weights) / sum(weights)

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a backdrop, as an RGB image of `size` (width, height)."""
        kind = int(rng.choice(4, p=self._shares))
        if kind == 3:
            return drawn_clutter(rng, size) if self.clutter is None else self.clutter.sample(rng, size)
        if kind == 0:
            return Image.new("RGB", size, "white")
        if kind == 1:
            return Image.new("RGB", size, draw_backdrop_color(rng))
        color = np.array(draw_backdrop_color(rng), float)
        other = (color * rng.uniform(0.6, 0.9)) if rng.random() < 0.7 else np.array(draw_backdrop_color(rng), float)
        ramp = Image.linear_gradient("L") if rng.random() < 0.6 else Image.radial_gradient("L")
        first, second = (Image.new("RGB", size, tuple(int(value) for value in end)) for end in (other, color))
        return Image.composite(first, second, ramp.resize(size, Image.Resampling.BILINEAR))


def draw_backdrop_color(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw a colour that shops put behind products: mostly pale, now and then deep."""
    hue = rng.uniform(0, 1)
    if rng.random() < 0.75:
        strength, light = rng.uniform(0.0, 0.25), rng.uniform(205, 250)
    else:
        strength, light = rng.uniform(0.3, 0.75), rng.uniform(90, 220)
    wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))
    red, green, blue = (light * (1 - strength * (1 - wheel))).astype(int).tolist()
    return red, green, blue
