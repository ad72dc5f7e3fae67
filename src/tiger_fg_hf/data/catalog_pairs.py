"""What the pair datasets of both methods share: rows of a catalog, their listings, and random streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset
from PIL import Image

from ..catalog.pairing import PairedCatalog
from ..catalog.photos import load_photo
from .image_cache import ImageCache
from .matte import object_matte
from .text_table import TextTable


@dataclass
class ListingPhoto:
    """A listing's RGB photo, the product's box in its pixels, and its matte once computed."""

    image: Image.Image
    box: list[float] | None
    matte: np.ndarray | Literal["find"] | None = "find"

    def find_matte(self) -> np.ndarray | None:
        """Return the matte, computed on the first call."""
        if isinstance(self.matte, str):
            self.matte = object_matte(self.image, self.box)
        return self.matte


class CatalogPairDataset(torch.utils.data.Dataset):
    """Base of datasets with one pair for each row of a catalog.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed, with `image`.
        seed: Seed of all randomness, 0 or more.

    Raises:
        TypeError: If the catalog is streamed.
        ValueError: If there are no photos, or a record cannot be read.
    """

    def __init__(self, catalog: Dataset | PairedCatalog, seed: int):
        if not isinstance(catalog, Dataset | PairedCatalog):
            raise TypeError(
                f"catalog: expected a datasets.Dataset or a PairedCatalog, found {type(catalog).__name__}; "
                "pairs need rows by number, so load the catalog with streaming=False"
            )
        if "image" not in catalog.column_names:
            raise ValueError(f"catalog: a pair needs the listing photo 'image', found {catalog.column_names}")
        self.catalog, self.seed = catalog, seed
        self.texts = TextTable(catalog)
        self.cache: ImageCache | None = None

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def categories(self) -> list[str | None]:
        """Category of each row; None without one."""
        return self.texts.categories

    @property
    def item_numbers(self) -> list[int]:
        """Number of each row's item; equal for equal `item_id`."""
        return self.texts.items.tolist()

    def decode(self, row: int, column: str = "image") -> Image.Image:
        """Decode an image of a row to RGB.

        Raises:
            ValueError: If it cannot be read; the message names row, item and column.
        """
        return self._load(row, column)[0]

    def _load(self, row: int, column: str) -> tuple[Image.Image, list[float] | None]:
        """Return an image of a row, and the listing's box in its pixels."""
        box = self.texts[row]["box"] if column == "image" else None
        return load_photo(self.catalog[row][column], box, name=f"{self.name(row)}, {column}")

    def name(self, row: int) -> str:
        """Return the name of a row in messages."""
        return f"row {row} (item {self.texts[row]['item_id']!r})"

    def cache_photos(self, max_side: int) -> None:
        """Decode all listing photos, no larger than `max_side` pixels, into memory that forked workers share."""
        # A listing is cached once, however many queries show it.
        listing_rows = self.catalog.listing_rows if isinstance(self.catalog, PairedCatalog) else range(len(self))
        _, firsts, self._cache_places = np.unique(listing_rows, return_index=True, return_inverse=True)
        photos = (self._load(row, "image") for row in firsts.tolist())
        self.cache = ImageCache(photos, max_side, total=len(firsts))

    def listing_photo(self, row: int) -> ListingPhoto:
        """Return the listing photo of a row, from the cache if there is one."""
        if self.cache is None:
            return ListingPhoto(*self._load(row, "image"))
        place = int(self._cache_places[row])
        photo, box = self.cache.photo(place)
        return ListingPhoto(Image.fromarray(photo), box, self.cache.matte(place))

    def stream(self, *numbers: int, key: Sequence[int] = ()) -> np.random.Generator:
        """Return a generator for the dataset's seed and `numbers`; different keys give independent streams."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, *numbers], spawn_key=tuple(key)))

    def split_key(self, key: int | Sequence[Any]) -> tuple[int, int, tuple[int, ...] | None]:
        """Split a key into epoch, row and group.

        A key is a row, `(epoch, row)` or `(epoch, row, group)`. Negative rows count from the end.

        Raises:
            IndexError: If there is no such row.
        """
        parts = key if isinstance(key, tuple | list) else (0, key)
        group = tuple(self._check_row(row) for row in parts[2]) if len(parts) > 2 else None
        return int(parts[0]), self._check_row(parts[1]), group

    def _check_row(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a catalog with {len(self)} rows")
        return int(row) % len(self)
