"""Backdrops of scenes: a surface seen from above, a room with a floor or table, or a blurred room."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from ..synthetic.backdrops import Backgrounds
from ..synthetic.compositing import color_matrix
from ..synthetic.drawn.backgrounds import LYING, STANDING
from ..synthetic.streams import pick
from .matte import channel_extremes

View = Literal["above", "room", "blurred"]

# Photos of clutter are busy. The calmest of this many crops shows a floor, a sheet or a wall rather than things. A
# blurred wall needs fewer, and less contrast.
_CROPS, _WALL_CROPS = 14, 4
_WALL_CONTRAST = (0.5, 0.8)
# Sides at which a crop's variation is measured: large things, and patterns.
_CALM_SIDES = (16, 64)
# How much a colorful crop counts as restless.
_COLOR_WEIGHT = 0.15
# Strongest gain of a dark photo; what it still lacks in brightness comes from haze, which adds no noise.
_MAX_GAIN = 1.4
# Shares of a photo's saturation that are kept: shops prefer quiet backdrops.
_SATURATION = (0.4, 0.85)
# Gain of red and loss of blue: shops light warmly.
_TEMPERATURE = (-0.02, 0.06)
# Line where the wall meets the floor, as a share of the height from the top.
_HORIZON = (0.56, 0.72)
# Sides of the floor's near edge in the photo: a floor grows narrower toward the wall.
_NEAR = (0.2, 0.8)


class Stage(NamedTuple):
    """A backdrop.

    Attributes:
        image: RGB, square.
        horizon: Row where the wall meets the floor; 0 if there is no such line.
    """

    image: Image.Image
    horizon: int = 0


class SceneBackdrops:
    """Draw backdrops that look like a shop's photos.

    Args:
        photos: Photos to make them from, such as a `ClutterBank`; without, studios and rooms are drawn.
        brightness: Range of a photo's mean level, from 0 to 255.
    """

    def __init__(self, photos: Backgrounds | None, brightness: tuple[float, float]):
        self.photos, self.brightness = photos, brightness

    def sample(self, view: View, rng: np.random.Generator, size: int) -> Stage:
        """Draw a backdrop of `size` x `size` pixels for a view."""
        if self.photos is None:
            return _drawn(view, rng, size)
        light = rng.uniform(*self.brightness)
        if view == "above":
            return Stage(_soft(self._surface(rng, size, light), 0.003 * size))
        # A wall is little brighter or darker than the floor: the same light falls on both.
        wall = _lit(self._calmest(_WALL_CROPS, rng, size), light * rng.uniform(0.9, 1.08), rng)
        wall = ImageEnhance.Contrast(wall).enhance(rng.uniform(*_WALL_CONTRAST))
        if view == "blurred":
            return Stage(_soft(wall, size * rng.uniform(0.05, 0.09)))
        wall = _soft(wall, size * rng.uniform(0.04, 0.08))
        horizon = round(size * rng.uniform(*_HORIZON))
        return Stage(_with_floor(wall, self._surface(rng, size, light), horizon), horizon)

    def _surface(self, rng: np.random.Generator, size: int, light: float) -> Image.Image:
        return _lit(self._calmest(_CROPS, rng, size), light, rng)

    def _calmest(self, count: int, rng: np.random.Generator, size: int) -> Image.Image:
        assert self.photos is not None
        return min((self.photos.sample(rng, (size, size)) for _ in range(count)), key=_unrest)


def _drawn(view: View, rng: np.random.Generator, size: int) -> Stage:
    backdrop = pick(rng, LYING if view == "above" else STANDING)(size, rng)
    if view == "blurred":
        return Stage(_soft(backdrop.image, size * rng.uniform(0.02, 0.04)))
    if view == "room" and backdrop.horizon:
        # The wall is out of focus, the floor is not.
        wall = _soft(backdrop.image.crop((0, 0, size, backdrop.horizon)), 0.012 * size)
        backdrop.image.paste(wall, (0, 0))
    return Stage(backdrop.image, backdrop.horizon)


def _unrest(image: Image.Image) -> float:
    """Return how much an image varies over its area, and how colorful it is."""
    total = 0.0
    for side in _CALM_SIDES:
        small = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32)
        across, down = np.abs(np.diff(small, axis=0)).mean(), np.abs(np.diff(small, axis=1)).mean()
        total += float(across + down)
    darkest, brightest = channel_extremes(small)
    color = float((brightest - darkest).mean())
    return total + _COLOR_WEIGHT * color


def _lit(photo: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Light a photo so that its mean level is about `level`, and make its colors quieter."""
    photo = ImageEnhance.Color(photo).enhance(rng.uniform(*_SATURATION))
    pixels = np.asarray(photo, np.float32)
    pixels = pixels * min(level / max(float(pixels.mean()), 1.0), _MAX_GAIN)
    haze = min(1.0, (255 - level) / max(255 - float(pixels.mean()), 1.0))
    lit = Image.fromarray((255 - (255 - pixels) * haze).clip(0, 255).astype(np.uint8))
    return lit.convert("RGB", color_matrix(temperature=rng.uniform(*_TEMPERATURE)))


def _soft(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _with_floor(wall: Image.Image, surface: Image.Image, horizon: int) -> Image.Image:
    """Lay a surface below a row of the wall, in perspective, a little darker toward the wall."""
    size = wall.width
    near, far = (size * share for share in _NEAR)
    depth = size - horizon
    quad = (0, 0, near, size, far, size, size, 0)
    floor = surface.transform((size, depth), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    shade = np.linspace(0.9, 1.03, depth, dtype=np.float32)[:, None, None]
    floor = Image.fromarray((np.asarray(floor, np.float32) * shade).clip(0, 255).astype(np.uint8))
    whole = wall.copy()
    whole.paste(floor, (0, horizon))
    mask = Image.new("L", wall.size)
    mask.paste(255, (0, horizon, size, size))
    return Image.composite(whole, wall, _soft(mask, 0.006 * size))
