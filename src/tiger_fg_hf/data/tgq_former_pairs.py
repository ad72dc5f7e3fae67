"""Pairs of listings of one product, made on the fly."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image

from ..catalog.pairing import PairedCatalog
from ..models.image_loading_tiger_fg import load_rgb_image
from ..synthetic.overlays import LEVELS, Level
from .boxes import scale_box
from .image_cache import ImageCache
from .listings import ListingSynthesizer
from .matte import object_matte
from .text_table import TextTable, text_record

# Keeps the streams of listings apart from those of queries and mosaics, which share the seed.
_LISTING_STREAM = 4


# And draws of wrong titles from those of listings, which stay the same without them.
_WRONG_TITLE_STREAM = 5


class TGQFormerPairDataset(torch.utils.data.Dataset):
    """Pairs of two different listings of one product, one pair per catalog row.

    All randomness of a pair comes from `(seed, epoch, row)`, so the data are the same for any number of workers and
    processes and any order of access.

    Args:
        catalog: from `load_catalog` or `pair_queries`, not streamed, with `image`; text, categories and boxes are
            used where there are any.
        synthesizer: makes the listings.
        seed: base seed, not negative.
        level_shares: how often a listing is of each level, against the others; None for equal shares.
        cache_decoded: keep all photos decoded in memory, which forked workers share, no larger than `cache_max_side`.
        cache_max_side: longer side of a cached photo in pixels.
        first_alone: make the first listing of each pair, and not the second, with promotional words of a level of
            their own. An image-text encoder would else match overlays with such words, and not pictures with products.
        wrong_titles: share of the listings that carry the title of a product of another category, in [0, 1]: so that
            a model meets titles that its picture contradicts. One that the catalog has none for keeps its own.

    Raises:
        TypeError: if the catalog is streamed.
        ValueError: if there are no photos, a record or (to be cached) an image cannot be read, or shares are not of
            known levels or all 0, or out of range.
    """

    def __init__(
        self,
        catalog: Dataset | PairedCatalog,
        synthesizer: ListingSynthesizer | None = None,
        *,
        seed: int = 0,
        level_shares: Mapping[Level, float] | None = None,
        cache_decoded: bool = False,
        cache_max_side: int = 256,
        first_alone: bool = False,
        wrong_titles: float = 0.0,
    ):
        if not isinstance(catalog, Dataset | PairedCatalog):
            raise TypeError(
                f"catalog: expected a datasets.Dataset or a PairedCatalog, found {type(catalog).__name__}; "
                "pairs need rows by number, so load the catalog with streaming=False"
            )
        if "image" not in catalog.column_names:
            raise ValueError(f"catalog: a listing needs the photo 'image', found {catalog.column_names}")
        self.catalog = catalog
        self.synthesizer = synthesizer or ListingSynthesizer()
        self.seed = seed
        self.first_alone = first_alone
        if not 0 <= wrong_titles <= 1:
            raise ValueError(f"wrong_titles must be in [0, 1], got {wrong_titles}")
        self.wrong_titles = wrong_titles
        self._shares = _level_shares(level_shares)
        self.texts = TextTable(catalog)
        self._categories = self.texts.categories
        self.cache = None
        if cache_decoded:
            photos = ((self.decode(row), self.texts[row]["box"]) for row in range(len(self)))
            self.cache = ImageCache(photos, cache_max_side, total=len(self))

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, key: int | Sequence[Any]) -> dict[str, Any]:
        """Return the pair of row `key`, of `(epoch, row)`, or of `(epoch, row, group)`; a row alone is of epoch 0.

        A group, which rows of one mosaic share, changes nothing.

        Returns:
            - `item_id`: str
            - `category`: str or None, the catalog's
            - `row`: int
            - `images`: two RGB images, or one
            - `texts`: as many records of `title`, `category`, `attributes`
            - `levels`: as many levels

        Raises:
            IndexError: if there is no such row.
            ValueError: if the image cannot be read, naming row and item.
        """
        parts = key if isinstance(key, tuple | list) else (0, key)
        epoch, row = int(parts[0]), int(parts[1])
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a catalog with {len(self)} rows")
        row %= len(self)
        record = self.texts[row]
        image, box, matte = self._photo(row, record["box"])
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, row], spawn_key=(_LISTING_STREAM,)))
        levels = tuple(LEVELS[index] for index in rng.choice(len(LEVELS), size=2, p=self._shares))
        title_levels = levels
        if self.first_alone:
            levels, title_levels = levels[:1], levels[1:]
        titles = self._titles(epoch, row, record["title"], len(levels))
        listings = [
            self.synthesizer(
                image,
                text_record(record) | {"title": title},
                level=level,
                rng=rng,
                box=box,
                matte=matte,
                title_level=title_level,
            )
            for level, title_level, title in zip(levels, title_levels, titles, strict=True)
        ]
        return {
            "item_id": record["item_id"],
            "category": record["category"],
            "row": row,
            "images": tuple(listing.image for listing in listings),
            "texts": tuple(listing.text for listing in listings),
            "levels": levels,
        }

    def _titles(self, epoch: int, row: int, own: str | None, number: int) -> list[str | None]:
        """Title of each listing of a pair before it is rewritten."""
        if not self.wrong_titles:
            return [own] * number
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, row], spawn_key=(_WRONG_TITLE_STREAM,)))
        titles = []
        for wrong in rng.random(number) < self.wrong_titles:
            other = None
            if wrong and own:
                with contextlib.suppress(ValueError):  # no other product to tell it from
                    other = self.texts[self.texts.draw_others(row, 1, rng)[0]]["title"]
            titles.append(other or own)
        return titles

    @property
    def categories(self) -> list[str | None]:
        """Category of each row, None without one."""
        return self._categories

    @property
    def item_numbers(self) -> list[int]:
        """Number of each row's item, equal for equal `item_id`."""
        return self.texts.items.tolist()

    def decode(self, row: int) -> Image.Image:
        """Decode the photo of a row to RGB; errors name row and item."""
        name = f"row {row} (item {self.texts[row]['item_id']!r}), image"
        return load_rgb_image(self.catalog[row]["image"], name=name)

    def _photo(self, row: int, box: list[float] | None) -> tuple[Image.Image, list[float] | None, np.ndarray | None]:
        """A row's photo, the box in its pixels, and its matte, which both listings share."""
        if self.cache is None:
            image = self.decode(row)
            return image, box, object_matte(image, box)
        photo, scale = self.cache.photo(row)
        return Image.fromarray(photo), scale_box(box, scale), self.cache.matte(row)


def _level_shares(shares: Mapping[Level, float] | None) -> np.ndarray:
    if shares is None:
        return np.full(len(LEVELS), 1 / len(LEVELS))
    unknown = sorted(set(shares) - set(LEVELS))
    if unknown:
        raise ValueError(f"level_shares: expected levels out of {', '.join(LEVELS)}, found {unknown}")
    weights = np.array([shares.get(level, 0.0) for level in LEVELS], float)
    if (weights < 0).any() or not weights.sum():
        raise ValueError(f"level_shares: expected shares that are not all 0, found {dict(shares)}")
    return weights / weights.sum()
