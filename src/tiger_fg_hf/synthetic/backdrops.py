"""Backgrounds drawn by code: clutter, and the backdrops of product photos."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image


@runtime_checkable
class Backgrounds(Protocol):
    """A source of backgrounds."""

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a background, as an RGB image of `size` (width, height)."""


class DrawnClutter:
    """Backgrounds that need no photos: blotches at several scales, over a gradient or stripes."""

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a background, as an RGB image of `size` (width, height)."""
        width, height = size
        base = rng.uniform(40, 215, size=3)
        tint = rng.normal(0, 25, size=3)
        angle = rng.uniform(0, 2 * math.pi)
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        ramp = math.cos(angle) * x + math.sin(angle) * y
        if rng.random() < 0.4:
            ramp = np.sign(np.sin(ramp * rng.uniform(4, 25) + rng.uniform(0, 6))) * rng.uniform(0.2, 0.8)
        texture = ramp * rng.uniform(0.3, 1.5)
        for cells in (3, 9, 40):
            blotches = rng.normal(0, rng.uniform(0.1, 0.8), size=(cells, cells)).astype(np.float32)
            texture = texture + np.asarray(Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC))
        pixels = base + texture[..., None] * (20 + tint)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


class Backdrops:
    """Backgrounds that shops put behind products.

    Args:
        weights: How often a backdrop is white, of one color, a gradient or clutter, relative to each other.
        clutter: Backgrounds for the last of them; drawn by default.
    """

    def __init__(self, weights: tuple[float, float, float, float], clutter: Backgrounds | None = None):
        self.clutter = DrawnClutter() if clutter is None else clutter
        self._shares = np.array(weights) / sum(weights)

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a backdrop, as an RGB image of `size` (width, height)."""
        kind = int(rng.choice(4, p=self._shares))
        if kind == 3:
            return self.clutter.sample(rng, size)
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
    """Draw a color that shops put behind products: mostly pale, sometimes deep."""
    hue = rng.uniform(0, 1)
    if rng.random() < 0.75:
        strength, light = rng.uniform(0.0, 0.25), rng.uniform(205, 250)
    else:
        strength, light = rng.uniform(0.3, 0.75), rng.uniform(90, 220)
    wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))
    red, green, blue = (light * (1 - strength * (1 - wheel))).astype(int).tolist()
    return red, green, blue
