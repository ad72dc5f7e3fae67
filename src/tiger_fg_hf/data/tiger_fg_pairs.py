"""Pairs of TIGER-FG: a query and the item that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image, ImageOps

from ..catalog.pairing import PairedCatalog
from .catalog_pairs import CatalogPairDataset, ListingPhoto
from .close_views import CloseViewMaker
from .mosaic import Mosaic, MosaicComposer, Product
from .query_synthesis import QuerySynthesizer
from .text_table import text_record

# Keys of random streams that share the seed with that of queries.
_MOSAIC_STREAM, _HARD_TEXT_STREAM, _CLOSE_VIEW_STREAM = 1, 2, 3


@dataclass(frozen=True)
class ItemAugmentation:
    """Slight random crop and mirroring of the listing photo in training.

    Attributes:
        crop_probability: How often the photo loses a strip at its sides; the object's box is never cut.
        crop: Largest share of the width and of the height that is cut off.
        flip_probability: How often the photo and its box are mirrored left to right.
    """

    crop_probability: float = 0.5
    crop: float = 0.1
    flip_probability: float = 0.5

    def __call__(
        self, image: Image.Image, box: Sequence[float] | None, rng: np.random.Generator
    ) -> tuple[Image.Image, list[float] | None, bool]:
        """Vary an image and its box together.

        Args:
            image: The listing photo.
            box: `[x0, y0, x1, y1]` in its pixels, or None.
            rng: The only source of randomness.

        Returns:
            The image, its box, and whether they are mirrored.
        """
        width, height = image.size
        if rng.random() < self.crop_probability:
            kept_width, kept_height = 1 - rng.uniform(0, self.crop, size=2)
            left, top = rng.uniform(0, 1 - kept_width), rng.uniform(0, 1 - kept_height)
            x0, y0 = left * width, top * height
            x1, y1 = x0 + kept_width * width, y0 + kept_height * height
            if box is not None:
                x0, y0, x1, y1 = min(x0, box[0]), min(y0, box[1]), max(x1, box[2]), max(y1, box[3])
            x0, y0 = max(int(x0), 0), max(int(y0), 0)
            x1, y1 = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
            image = image.crop((x0, y0, x1, y1))
            box = None if box is None else [box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0]
        flipped = bool(rng.random() < self.flip_probability)
        if flipped:
            image = ImageOps.mirror(image)
            box = None if box is None else [image.width - box[2], box[1], image.width - box[0], box[3]]
        return image, None if box is None else list(box), flipped


class TigerFGPairDataset(CatalogPairDataset):
    """Pairs of a query and the item that it shows, one for each row of a catalog.

    A pair depends on `(seed, epoch, row)` alone, and a mosaic on `(seed, epoch, group)`, so the data are the same for
    any number of workers and processes and any order of access.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed, with `image`.
        synthesizer: Makes the queries of rows without `query_image`.
        seed: Base seed, 0 or more.
        item_augmentation: Variation of the listing photo; none if None. Mosaics ignore it.
        augment_query_images: Vary mirroring, light and quality of real queries with the synthesizer's settings.
        cache_decoded: Keep all listing photos decoded in memory that forked workers share. Photos are then no larger
            than `cache_max_side`, as if the catalog held them at that size.
        cache_max_side: Longer side of a cached photo in pixels.
        mosaic: Composes the item picture of a group of rows; needed for keys with a group.
        num_hard_texts: How many texts of other categories to draw for each row.
        close_views: Makes the close views of pairs in mosaics; none if None.

    Raises:
        TypeError: If the catalog is streamed.
        ValueError: If there are no photos, if there are neither real queries nor a synthesizer, if a record or (to be
            cached) an image cannot be read, if hard texts are asked for and the catalog has only one category, or if
            close views are asked for without mosaics.
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
        close_views: CloseViewMaker | None = None,
    ):
        super().__init__(catalog, seed)
        self._has_queries = "query_image" in catalog.column_names
        if synthesizer is None and (not self._has_queries or augment_query_images):
            raise ValueError("synthesizer: needed for a catalog without 'query_image' and for augment_query_images")
        self.synthesizer = synthesizer
        self.item_augmentation = item_augmentation
        self.augment_query_images = augment_query_images
        self.mosaic = mosaic
        self.num_hard_texts = num_hard_texts
        if close_views is not None and mosaic is None:
            raise ValueError("close_views: only pairs in mosaics have them, but mosaic is None")
        self.close_views = close_views
        if num_hard_texts and not self.texts.has_contrast:
            raise ValueError(
                "num_hard_texts: hard texts come from other categories, or from other titles where categories are "
                "unknown, but the catalog has only one"
            )
        if cache_decoded:
            self.cache_photos(cache_max_side)

    def __getitem__(self, key: int | Sequence[Any]) -> dict[str, Any]:
        """Return the pair of row `key`, of `(epoch, row)`, or of `(epoch, row, group)`.

        A row without an epoch belongs to epoch 0. The epoch is part of the key because workers that fetch ahead cannot
        share a counter. A group is a tuple of rows, including `row`, that share one mosaic as their item picture;
        their categories should differ.

        Returns:
            - `item_id`: str
            - `query`, `image`: RGB images.
            - `text`: Record of `title`, `category` and `attributes`.
            - `box`: `[x0, y0, x1, y1]` of the object in pixels of `image`, or None.
            - `row`: int
            - `image_key`: Hashable, and equal where `image` is the same picture, as in one mosaic.
            - `flipped`: Whether the product in `image` is mirrored compared with the catalog's photo.
            - `hard_texts`: `num_hard_texts` text records of other items (see `TextTable.draw_others`).
            - `close`: RGB image that shows the item once more, close up; None for a pair without a close view, such
              as every pair that is not in a mosaic.
            - `close_is_crop`: Whether `close` is cut out of `image`.

        Raises:
            IndexError: If there is no such row.
            ValueError: If an image cannot be read, there is nothing to make a query of, or there are no hard texts
                (the message names row and item), or if the group of a key cannot be used.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | Sequence[Any]]) -> list[dict[str, Any]]:
        """Return the pairs of several keys, as `torch.utils.data.DataLoader` asks for, and make each mosaic once."""
        listings = _Listings(self)
        mosaics: dict[tuple[int, tuple[int, ...]], Mosaic] = {}
        pairs = []
        for key in keys:
            epoch, row, group = self.split_key(key)
            if group is None:
                pairs.append(self._pair(epoch, row, listings[row], None))
                continue
            self._check_group(key, row, group)
            if (epoch, group) not in mosaics:
                mosaics[epoch, group] = self._compose(epoch, group, listings)
            pairs.append(self._pair(epoch, row, listings[row], (group, mosaics[epoch, group])))
        return pairs

    def _check_group(self, key: Any, row: int, group: tuple[int, ...]) -> None:
        if self.mosaic is None:
            raise ValueError(f"key {key}: a group needs a TigerFGPairDataset with mosaic=MosaicComposer(...)")
        if row not in group or len(set(group)) != len(group):
            raise ValueError(f"key {key}: expected a group of different rows, row {row} among them")

    def _pair(
        self, epoch: int, row: int, listing: ListingPhoto, shared: tuple[tuple[int, ...], Mosaic] | None
    ) -> dict[str, Any]:
        """Make the pair of a row, with its own listing photo or the mosaic of its group."""
        record = self.texts[row]
        rng = self.stream(epoch, row)
        query = self._query(row, listing, rng)
        image_key: tuple[Any, ...] = (epoch, row)
        image, box, flipped = listing.image, listing.box, False
        close = None
        if shared is not None:
            group, mosaic = shared
            place = group.index(row)
            image, box, flipped = mosaic.image, mosaic.boxes[place], mosaic.flipped[place]
            image_key = (epoch, group)
            if self.close_views is not None:
                close_rng = self.stream(epoch, row, key=(_CLOSE_VIEW_STREAM,))
                close = self.close_views(listing.image, image, mosaic.boxes[place], close_rng)
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
            "close": close,
            "close_is_crop": close is not None and close is not listing.image,
        }

    def _compose(self, epoch: int, group: tuple[int, ...], listings: _Listings) -> Mosaic:
        assert self.mosaic is not None  # checked by `_check_group`
        photos = [listings[row] for row in group]
        products = [Product(np.asarray(photo.image), photo.find_matte(), photo.box) for photo in photos]
        return self.mosaic(products, self.stream(epoch, key=(_MOSAIC_STREAM, *group)))

    def _hard_texts(self, epoch: int, row: int) -> list[dict[str, Any]]:
        if not self.num_hard_texts:
            return []
        rng = self.stream(epoch, row, key=(_HARD_TEXT_STREAM,))
        return [text_record(self.texts[other]) for other in self.texts.draw_others(row, self.num_hard_texts, rng)]

    def _query(self, row: int, listing: ListingPhoto, rng: np.random.Generator) -> Image.Image:
        if self._has_queries and self.catalog[row]["query_image"] is not None:
            query = self.decode(row, "query_image")
            if self.augment_query_images and self.synthesizer is not None:
                return self.synthesizer.augment_photo(query, rng)
            return query
        if self.synthesizer is None:
            raise ValueError(f"{self.name(row)}: no query_image, and no synthesizer to make one")
        return self.synthesizer(listing.image, box=listing.box, rng=rng, matte=listing.matte)


class _Listings(dict[int, ListingPhoto]):
    """Listing photos of one batch by row: queries and mosaics show the same ones."""

    def __init__(self, dataset: TigerFGPairDataset):
        self.dataset = dataset

    def __missing__(self, row: int) -> ListingPhoto:
        self[row] = self.dataset.listing_photo(row)
        return self[row]
