"""Query-item pairs for training: a catalog and its real or synthesised queries, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageOps

from ..catalog.pairing import PairedCatalog
from ..models.image_loading_tiger_fg import load_rgb_image
from .boxes import scale_box
from .image_cache import ImageCache
from .matte import object_matte
from .mosaic import Mosaic, MosaicComposer, Product
from .query_synthesis import QuerySynthesizer
from .text_table import TextTable, text_record

# Keep the streams of random numbers apart that share the seed.
_MOSAIC_STREAM, _HARD_TEXT_STREAM = 1, 2


@dataclass(frozen=True)
class ItemAugmentation:
    """Light variation of the listing photo in training; evaluation uses none.

    Attributes:
        crop_probability: how often the photo loses a strip at its sides; the object's box always stays whole.
        crop: largest share of width and of height that is cut off.
        flip_probability: how often the photo and its box are mirrored left to right.
    """

    crop_probability: float = 0.5
    crop: float = 0.1
    flip_probability: float = 0.5

    def __call__(
        self, image: Image.Image, box: Sequence[float] | None, rng: np.random.Generator
    ) -> tuple[Image.Image, list[float] | None, bool]:
        """Vary an image and its box `[x0, y0, x1, y1]` (pixels) together; also return whether they are mirrored."""
        width, height = image.size
        if rng.random() < self.crop_probability:
            kept_width, kept_height = 1 - rng.uniform(0, self.crop, size=2)
            left, top = rng.uniform(0, 1 - kept_width), rng.uniform(0, 1 - kept_height)
            x0, y0 = left * width, top * height
            x1, y1 = x0 + kept_width * width, y0 + kept_height * height
            if box is not None:
                x0, y0, x1, y1 = min(x0, box[0]), min(y0, box[1]), max(x1, box[2]), max(y1, box[3])
            x0, y0, x1, y1 = (
                max(int(x0), 0),
                max(int(y0), 0),
                min(int(np.ceil(x1)), width),
                min(int(np.ceil(y1)), height),
            )
            image = image.crop((x0, y0, x1, y1))
            box = None if box is None else [box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0]
        flipped = bool(rng.random() < self.flip_probability)
        if flipped:
            image = ImageOps.mirror(image)
            box = None if box is None else [image.width - box[2], box[1], image.width - box[0], box[3]]
        return image, None if box is None else list(box), flipped


class TigerFGPairDataset(torch.utils.data.Dataset):
    """Pairs of a query and the item it shows, one per catalog row.

    All randomness of a pair comes from `(seed, epoch, row)`, and that of a mosaic from `(seed, epoch, group)`, so the
    data are the same for any number of workers and processes and any order of access.

    Args:
        catalog: from `load_catalog` or `pair_queries`, not streamed.
        synthesizer: makes the queries of rows without `query_image`.
        seed: base seed, not negative.
        item_augmentation: variation of the listing photo; None leaves it as it is. Mosaics vary on their own.
        augment_query_images: vary the light and quality of real queries with the synthesizer's settings.
        cache_decoded: keep all listing photos decoded in memory, which forked workers share. The photos are then no
            larger than `cache_max_side`, as if the catalog held them at that size.
        cache_max_side: longer side of a cached photo in pixels.
        mosaic: composes the item picture of a group of rows; needed for keys with a group.
        num_hard_texts: how many texts of other categories to draw for each row.

    Raises:
        TypeError: if the catalog is streamed.
        ValueError: if there are neither real queries nor a synthesizer, a record or (to be cached) an image cannot be
            read, or hard texts are asked for and the catalog has only one category.
    """

    def __init__(
        self,
        catalog: Dataset | PairedCatalog,
        synthesizer: QuerySynthesizer | None = None,
        *,
        seed: int = 0,
        item_augmentation: ItemAugmentation | None = None,
        augment_query_images: bool = False,
        cache_decoded: bool = False,
        cache_max_side: int = 256,
        mosaic: MosaicComposer | None = None,
        num_hard_texts: int = 0,
    ):
        if not isinstance(catalog, Dataset | PairedCatalog):
            raise TypeError(
                f"catalog: expected a datasets.Dataset or a PairedCatalog, found {type(catalog).__name__}; "
                "pairs need rows by number, so load the catalog with streaming=False"
            )
        if "image" not in catalog.column_names:
            raise ValueError(f"catalog: a pair needs the listing photo 'image', found {catalog.column_names}")
        self._has_queries = "query_image" in catalog.column_names
        if synthesizer is None and (not self._has_queries or augment_query_images):
            raise ValueError("synthesizer: needed where the catalog has no 'query_image' and for augment_query_images")
        self.catalog = catalog
        self.synthesizer = synthesizer
        self.seed = seed
        self.item_augmentation = item_augmentation
        self.augment_query_images = augment_query_images
        self.mosaic = mosaic
        self.num_hard_texts = num_hard_texts
        self.texts = TextTable(catalog)
        if num_hard_texts and not self.texts.has_contrast:
            raise ValueError(
                "num_hard_texts: hard texts are of other categories, or titles where there are none, and "
                "the catalog has only one"
            )
        self.cache = None
        if cache_decoded:
            # Each listing once, however many queries show it.
            of_rows = catalog.listing_rows if isinstance(catalog, PairedCatalog) else range(len(self))
            _, firsts, self.cache_rows = np.unique(of_rows, return_index=True, return_inverse=True)
            listings = ((self.decode(row), self.texts[row]["box"]) for row in firsts.tolist())
            self.cache = ImageCache(listings, cache_max_side, total=len(firsts))

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, key: int | Sequence[Any]) -> dict[str, Any]:
        """Return the pair of row `key`, of `(epoch, row)`, or of `(epoch, row, group)`; a row alone is of epoch 0.

        The epoch is part of the key rather than a state, so that workers which fetch ahead cannot be of two minds. A
        group is a tuple of rows, `row` among them, which share one mosaic as their item picture. Who makes the groups
        sees to it that their categories differ.

        Returns:
            - `item_id`: str
            - `query`, `image`: RGB images
            - `text`: record of `title`, `category`, `attributes`
            - `box`: `[x0, y0, x1, y1]` of the object in pixels of `image`, or None
            - `row`: int
            - `image_key`: hashable, equal where `image` is the same picture: for siblings of one mosaic
            - `flipped`: bool, whether the product in `image` is mirrored compared with the catalog's photo
            - `hard_texts`: `num_hard_texts` text records of other items: of other known categories, or, for a row
              without category, of any rows with another title

        Raises:
            IndexError: if there is no such row.
            ValueError: if an image cannot be read, there is nothing to make a query of, or there are no hard texts,
                naming row and item; or if the group of a key cannot be used.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | Sequence[Any]]) -> list[dict[str, Any]]:
        """Return the pairs of several keys, as `torch.utils.data.DataLoader` asks for; each mosaic is made once."""
        listings = _Listings(self)
        mosaics: dict[tuple[int, tuple[int, ...]], Mosaic] = {}
        pairs = []
        for key in keys:
            epoch, row, group = self._parse(key)
            if group is not None and (epoch, group) not in mosaics:
                mosaics[epoch, group] = self._compose(epoch, group, listings)
            shared = None if group is None else (group, mosaics[epoch, group])
            pairs.append(self._pair(epoch, row, listings[row], shared))
        return pairs

    @property
    def categories(self) -> list[str | None]:
        """Category of each row, None without one."""
        return self.texts.categories

    @property
    def item_numbers(self) -> list[int]:
        """Number of each row's item, equal for equal `item_id`."""
        return self.texts.items.tolist()

    def decode(self, row: int, column: str = "image") -> Image.Image:
        """Decode an image of a row to RGB; errors name row, item and column."""
        return load_rgb_image(self.catalog[row][column], name=f"{self._name(row)}, {column}")

    def _name(self, row: int) -> str:
        return f"row {row} (item {self.texts[row]['item_id']!r})"

    def _parse(self, key: int | Sequence[Any]) -> tuple[int, int, tuple[int, ...] | None]:
        """Split a key into epoch, row and group, rows counted from 0."""
        parts = key if isinstance(key, tuple | list) else (0, key)
        epoch, row = int(parts[0]), self._check_row(parts[1])
        if len(parts) == 2:
            return epoch, row, None
        group = tuple(self._check_row(member) for member in parts[2])
        if self.mosaic is None:
            raise ValueError(f"key {key}: a group needs a TigerFGPairDataset with mosaic=MosaicComposer(...)")
        if row not in group or len(set(group)) != len(group):
            raise ValueError(f"key {key}: expected a group of different rows, row {row} among them")
        return epoch, row, group

    def _check_row(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a catalog with {len(self)} rows")
        return int(row) % len(self)

    def _pair(
        self, epoch: int, row: int, listing: _Listing, shared: tuple[tuple[int, ...], Mosaic] | None
    ) -> dict[str, Any]:
        """Make the pair of a row whose item picture is its own or the mosaic that its group shares."""
        record = self.texts[row]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, row]))
        query = self._query(row, listing, rng)
        image_key: tuple[Any, ...] = (epoch, row)
        image, box, flipped = listing.image, listing.box, False
        if shared is not None:
            group, mosaic = shared
            place = group.index(row)
            image, box, flipped = mosaic.image, mosaic.boxes[place], mosaic.flipped[place]
            image_key = (epoch, group)
        elif self.item_augmentation is not None:
            image, box, flipped = self.item_augmentation(image, box, rng)
        return {
            "item_id": record["item_id"],
            "query": query,
            "image": image,
            "text": text_record(record),
            "box": box,
            "row": row,
            "image_key": image_key,
            "flipped": flipped,
            "hard_texts": self._hard_texts(epoch, row),
        }

    def _compose(self, epoch: int, group: tuple[int, ...], listings: _Listings) -> Mosaic:
        assert self.mosaic is not None  # `_parse` has checked it
        products = []
        for row in group:
            listing = listings[row]
            products.append(Product(np.asarray(listing.image), listing.find_matte(), listing.box))
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=(_MOSAIC_STREAM, *group)))
        return self.mosaic(products, rng)

    def _hard_texts(self, epoch: int, row: int) -> list[dict[str, Any]]:
        if not self.num_hard_texts:
            return []
        sequence = np.random.SeedSequence([self.seed, epoch, row], spawn_key=(_HARD_TEXT_STREAM,))
        others = self.texts.draw_others(row, self.num_hard_texts, np.random.default_rng(sequence))
        return [text_record(self.texts[other]) for other in others]

    def _query(self, row: int, listing: _Listing, rng: np.random.Generator) -> Image.Image:
        if self._has_queries and self.catalog[row]["query_image"] is not None:
            query = self.decode(row, "query_image")
            if self.augment_query_images and self.synthesizer is not None:
                return self.synthesizer.augment_photo(query, rng)
            return query
        if self.synthesizer is None:
            raise ValueError(f"{self._name(row)}: no query_image, and no synthesizer to make one")
        return self.synthesizer(listing.image, box=listing.box, rng=rng, matte=listing.matte)


@dataclass
class _Listing:
    """A listing photo, RGB, the object's box in its pixels, and its matte as far as it is known."""

    image: Image.Image
    box: list[float] | None
    matte: np.ndarray | Literal["find"] | None = "find"

    def find_matte(self) -> np.ndarray | None:
        if isinstance(self.matte, str):
            self.matte = object_matte(self.image, self.box)
        return self.matte


class _Listings(dict[int, _Listing]):
    """Listings of one batch by row: queries and mosaics show the same ones."""

    def __init__(self, dataset: TigerFGPairDataset):
        self.dataset = dataset

    def __missing__(self, row: int) -> _Listing:
        cache, box = self.dataset.cache, self.dataset.texts[row]["box"]
        if cache is None:
            self[row] = _Listing(self.dataset.decode(row), box)
        else:
            place = int(self.dataset.cache_rows[row])
            photo, scale = cache.photo(place)
            self[row] = _Listing(Image.fromarray(photo), scale_box(box, scale), cache.matte(place))
        return self[row]
