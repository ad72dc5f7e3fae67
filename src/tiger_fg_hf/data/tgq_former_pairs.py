"""Pairs of TGQ-Former: two listings of one product, made on the fly."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..synthetic.overlays import LEVELS, Level
from .catalog_pairs import CatalogPairDataset
from .listings import ListingSynthesizer
from .text_table import text_record

# Keys of random streams: listings and wrong titles are drawn independently of each other, and of the streams of
# TIGER-FG's pairs, which share the seed.
_LISTING_STREAM, _WRONG_TITLE_STREAM = 4, 5


class TGQFormerPairDataset(CatalogPairDataset):
    """Pairs of two different listings of one product, one pair for each row of a catalog.

    A pair depends on `(seed, epoch, row)` alone, so the data are the same for any number of workers and processes and
    any order of access.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed, with `image`. Titles, categories, attributes and
            boxes are used where there are any.
        synthesizer: Makes the listings; `ListingSynthesizer()` if None.
        seed: Base seed, 0 or more.
        level_shares: Relative frequency of each level of overlays; equal if None.
        cache_decoded: Keep all decoded photos, no larger than `cache_max_side`, in memory that forked workers share.
        cache_max_side: Longer side of a cached photo in pixels.
        first_alone: Make only the first listing of each pair, and draw the level of the promotional words in its title
            independently. Otherwise an image-text encoder would learn to match overlays with these words.
        wrong_titles: Share of the listings, in [0, 1], that get the title of a product of another category (any other
            product, for a product without category), so that a model learns that titles may contradict pictures. A
            listing keeps its title if there is no such product.

    Raises:
        TypeError: If the catalog is streamed.
        ValueError: If there are no photos, a record or (to be cached) an image cannot be read, or shares are of
            unknown levels, all 0 or out of range.
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
        super().__init__(catalog, seed)
        self.synthesizer = synthesizer or ListingSynthesizer()
        self.first_alone = first_alone
        if not 0 <= wrong_titles <= 1:
            raise ValueError(f"wrong_titles: expected a share in [0, 1], found {wrong_titles}")
        self.wrong_titles = wrong_titles
        self._shares = _level_shares(level_shares)
        if cache_decoded:
            self.cache_photos(cache_max_side)

    def __getitem__(self, key: int | Sequence[Any]) -> dict[str, Any]:
        """Return the pair of row `key`, of `(epoch, row)`, or of `(epoch, row, group)`.

        A row without an epoch belongs to epoch 0. Groups, which share a mosaic in TIGER-FG's pairs, have no effect.

        Returns:
            - `item_id`: str
            - `category`: str or None
            - `row`: int
            - `images`: One RGB image per listing: two, or one with `first_alone`.
            - `texts`: The record of each listing: `title`, `category` and `attributes`.
            - `levels`: The level of each listing.

        Raises:
            IndexError: If there is no such row.
            ValueError: If the image cannot be read; the message names row and item.
        """
        epoch, row, _ = self.split_key(key)
        record = self.texts[row]
        photo = self.listing_photo(row)
        rng = self.stream(epoch, row, key=(_LISTING_STREAM,))
        levels = tuple(LEVELS[index] for index in rng.choice(len(LEVELS), size=2, p=self._shares))
        title_levels = levels
        if self.first_alone:
            levels, title_levels = levels[:1], levels[1:]
        titles = self._titles(epoch, row, record["title"], len(levels))
        listings = [
            self.synthesizer(
                photo.image,
                text_record(record) | {"title": title},
                level=level,
                rng=rng,
                box=photo.box,
                matte=photo.find_matte(),
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

    def _titles(self, epoch: int, row: int, title: str | None, number: int) -> list[str | None]:
        """Return the title of each listing of a pair before it is rewritten."""
        if not self.wrong_titles:
            return [title] * number
        rng = self.stream(epoch, row, key=(_WRONG_TITLE_STREAM,))
        titles = []
        for wrong in rng.random(number) < self.wrong_titles:
            other = None
            if wrong and title:
                with contextlib.suppress(ValueError):  # there may be no other category
                    other = self.texts[self.texts.draw_others(row, 1, rng)[0]]["title"]
            titles.append(other or title)
        return titles


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
