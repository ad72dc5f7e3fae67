"""Photos of clutter as backgrounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import datasets
import numpy as np
from PIL import Image, ImageOps

from ..catalog.photos import load_photo
from ..models.image_loading_tiger_fg import is_url
from ..synthetic.backdrops import Backgrounds, DrawnClutter

# Seed of the split of clutter photos into pools; a constant, so that every run and process agrees on it.
_POOL_SEED = 20_240_607
# Backgrounds smaller than this lose their details.
_SMALLEST_SIDE = 96


def clutter_pool(
    dataset: datasets.Dataset, pool: Literal["query", "item"], *, query_share: float = 0.5
) -> datasets.Dataset:
    """Return one of two disjoint parts of the clutter photos, the same in every run.

    A background shared by a query and an item would reveal that they match. Queries therefore draw from `"query"`
    only, and mosaics of items from `"item"` only.

    Args:
        dataset: Clutter photos.
        pool: Which part.
        query_share: Share of the photos in `"query"`.

    Raises:
        ValueError: If the pool is unknown.
    """
    if pool not in ("query", "item"):
        raise ValueError(f"pool: expected 'query' or 'item', found {pool!r}")
    order = np.random.default_rng(_POOL_SEED).permutation(len(dataset))
    cut = round(query_share * len(dataset))
    return dataset.select(np.sort(order[:cut] if pool == "query" else order[cut:]))


class ClutterBank:
    """Photos as backgrounds, decoded once and kept small, in one array that forked workers share.

    Args:
        images: Rows of a dataset with an `image` column, or anything that `load_photo` reads. They are cropped to
            a square from the center.
        side: Side of a kept photo in pixels.

    Attributes:
        pixels: The photos, `[N, side, side, 3]` uint8.

    Raises:
        ValueError: If there are no images, or one cannot be read.
    """

    def __init__(self, images: Iterable[Any], *, side: int = 192):
        if isinstance(images, datasets.Dataset):
            images = images.select_columns("image").cast_column("image", datasets.Image(decode=False))
        kept = []
        for index, image in enumerate(images):
            if isinstance(image, dict) and "image" in image:
                image = image["image"]
            image, _ = load_photo(image, name=f"clutter[{index}]")
            kept.append(np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)))
        if not kept:
            raise ValueError("clutter: expected at least one image, found none")
        self.pixels = np.stack(kept)

    def __len__(self) -> int:
        return len(self.pixels)

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a random crop of a photo, mirrored or not, as an RGB image of `size` (width, height)."""
        image = Image.fromarray(self.pixels[rng.integers(len(self.pixels))])
        side = image.width
        fit = min(side / size[0], side / size[1]) * rng.uniform(0.5, 1.0)
        width, height = size[0] * fit, size[1] * fit
        x, y = rng.uniform(0, side - width), rng.uniform(0, side - height)
        image = image.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        return ImageOps.flip(image) if rng.random() < 0.5 else image


def as_backgrounds(clutter: Backgrounds | Iterable[Any] | None) -> Backgrounds:
    """Return `clutter` if it already is a source of backgrounds, else a `ClutterBank`; `DrawnClutter` for None."""
    if clutter is None:
        return DrawnClutter()
    return clutter if isinstance(clutter, Backgrounds) else ClutterBank(clutter)


def open_clutter(source: str | None, pool: Literal["query", "item"], *, size: int) -> ClutterBank | None:
    """Read backgrounds from one of the two disjoint pools of a source of photos; see `clutter_pool`.

    Args:
        source: A parquet file, a folder or a Hub id of photos without item ids; None for drawn backgrounds.
        pool: Which of the two pools.
        size: Side of the pictures that the backgrounds are for, in pixels.

    Returns:
        The photos, or None if `source` is None.

    Raises:
        ValueError: If `source` is a URL, there are no photos, or one cannot be read.
    """
    if source is None:
        return None
    if is_url(source):
        raise ValueError(f"clutter {source}: it is a URL; download it first and pass the path of the file or folder")
    if source.endswith(".parquet"):
        photos = datasets.load_dataset("parquet", data_files=source, split="train")
    else:
        photos = datasets.load_dataset(source, split="train")
    return ClutterBank(clutter_pool(photos, pool), side=max(size, _SMALLEST_SIDE))
