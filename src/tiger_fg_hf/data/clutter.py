"""Photos of clutter, which serve as backgrounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import datasets
import numpy as np
from PIL import Image, ImageOps

# Seed of the split of clutter photos into pools; a constant, so that every run and process agrees on it.
_POOL_SEED = 20_240_607


def clutter_pool(
    dataset: datasets.Dataset, pool: Literal["query", "item"], *, query_share: float = 0.5
) -> datasets.Dataset:
    """Return one of two disjoint halves of the clutter photos, the same in every run.

    A background that queries and items share would give a match away, so queries draw from `"query"` only and mosaics
    of items from `"item"` only.

    Args:
        dataset: clutter photos.
        pool: which half.
        query_share: share of the photos in `"query"`.

    Raises:
        ValueError: for another pool.
    """
    if pool not in ("query", "item"):
        raise ValueError(f"pool: expected 'query' or 'item', found {pool!r}")
    order = np.random.default_rng(_POOL_SEED).permutation(len(dataset))
    cut = round(query_share * len(dataset))
    return dataset.select(np.sort(order[:cut] if pool == "query" else order[cut:]))


class ClutterBank:
    """Backgrounds, decoded once, kept small: one `(N, side, side, 3)` uint8 array that forked workers share.

    Args:
        images: rows of a dataset with an `image` column, or anything that `load_rgb_image` reads; centre-cropped.
        side: side of a kept background in pixels.

    Raises:
        ValueError: if there are no images, or one cannot be read.
    """

    def __init__(self, images: Iterable[Any], *, side: int = 192):
        from ..models.image_loading_tiger_fg import load_rgb_image

        if isinstance(images, datasets.Dataset):
            images = images.select_columns("image").cast_column("image", datasets.Image(decode=False))
        kept = []
        for index, image in enumerate(images):
            if isinstance(image, dict) and "image" in image:
                image = image["image"]
            image = load_rgb_image(image, name=f"clutter[{index}]")
            kept.append(np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)))
        if not kept:
            raise ValueError("clutter: expected at least one image, found none")
        self.pixels = np.stack(kept)

    def __len__(self) -> int:
        return len(self.pixels)

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a random, flipped or turned crop, as an RGB image of `size` (width, height)."""
        image = Image.fromarray(self.pixels[rng.integers(len(self.pixels))])
        side = image.width
        fit = min(side / size[0], side / size[1]) * rng.uniform(0.5, 1.0)
        width, height = size[0] * fit, size[1] * fit
        x, y = rng.uniform(0, side - width), rng.uniform(0, side - height)
        image = image.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        return ImageOps.flip(image) if rng.random() < 0.5 else image


def drawn_clutter(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a background without any photo: blotches at several scales, over a gradient or stripes.

    Args:
        rng: the only source of randomness.
        size: (width, height) in pixels.

    Returns:
        An RGB image.
    """
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
