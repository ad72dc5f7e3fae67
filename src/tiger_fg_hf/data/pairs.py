"""Query-item pairs for training: a catalog and its real or synthesised queries, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageOps

from ..models.tiger_fg.image_loading_tiger_fg import load_rgb_image
from .catalog import PairedCatalog, to_record
from .synthesis import QuerySynthesizer


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
    ) -> tuple[Image.Image, list[float] | None]:
        """Vary an image and its box `[x0, y0, x1, y1]` (pixels) together."""
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
        if rng.random() < self.flip_probability:
            image = ImageOps.mirror(image)
            box = None if box is None else [image.width - box[2], box[1], image.width - box[0], box[3]]
        return image, None if box is None else list(box)


class PairDataset(torch.utils.data.Dataset):
    """Pairs of a query and the item it shows, one per catalog row.

    All randomness of a pair comes from `(seed, epoch, row)`, so the data are the same for any number of workers and
    processes and any order of access.

    Args:
        catalog: from `load_catalog` or `pair_queries`, not streamed.
        synthesizer: makes the queries of rows without `query_image`.
        seed: base seed, not negative.
        item_augmentation: variation of the listing photo; None leaves it as it is.
        augment_query_images: vary the light and quality of real queries with the synthesizer's settings.
        cache_decoded: keep all listing photos decoded in memory, which forked workers share. The photos are then no
            larger than `cache_max_side`, as if the catalog held them at that size.
        cache_max_side: longer side of a cached photo in pixels.

    Raises:
        TypeError: if the catalog is streamed.
        ValueError: if there are neither real queries nor a synthesizer, or an image cannot be read.
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
    ):
        if not isinstance(catalog, Dataset | PairedCatalog):
            raise TypeError(
                f"catalog: expected a datasets.Dataset or a PairedCatalog, found {type(catalog).__name__}; "
                "pairs need rows by number, so load the catalog with streaming=False"
            )
        if "image" not in catalog.column_names:
            raise ValueError(f"catalog: a pair needs the listing photo 'image', found {catalog.column_names}")
        if synthesizer is None and ("query_image" not in catalog.column_names or augment_query_images):
            raise ValueError("synthesizer: needed where the catalog has no 'query_image' and for augment_query_images")
        self.catalog = catalog
        self.synthesizer = synthesizer
        self.seed = seed
        self.item_augmentation = item_augmentation
        self.augment_query_images = augment_query_images
        self._cache = _ImageCache(self, cache_max_side) if cache_decoded else None

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """Return the pair of row `key`, or of `key = (epoch, row)`; a row alone is that of epoch 0.

        The epoch is part of the key rather than a state, so that workers which fetch ahead cannot be of two minds.

        Returns:
            - `item_id`: str
            - `query`, `image`: RGB images
            - `text`: record of `title`, `category`, `attributes`
            - `box`: `[x0, y0, x1, y1]` of the object in pixels of `image`, or None
            - `row`: int

        Raises:
            IndexError: if there is no such row.
            ValueError: if an image cannot be read, or there is nothing to make a query of, naming row and item.
        """
        epoch, row = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a catalog with {len(self)} rows")
        row = int(row) % len(self)
        record = to_record(self.catalog[row])
        image, box = self._listing(row, record)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, row]))
        query = self._query(row, record, image, box, rng)
        if self.item_augmentation is not None:
            image, box = self.item_augmentation(image, box, rng)
        return {
            "item_id": record["item_id"],
            "query": query,
            "image": image,
            "text": {name: record[name] for name in ("title", "category", "attributes")},
            "box": box,
            "row": row,
        }

    def decode(self, row: int, record: dict[str, Any], column: str = "image") -> Image.Image:
        """Decode an image of a record to RGB; errors name row, item and column."""
        return load_rgb_image(record[column], name=f"row {row} (item {record['item_id']!r}), {column}")

    def _listing(self, row: int, record: dict[str, Any]) -> tuple[Image.Image, list[float] | None]:
        if self._cache is None:
            return self.decode(row, record), record["box"]
        image, scale_x, scale_y = self._cache[row]
        box = record["box"]
        return image, None if box is None else [box[0] * scale_x, box[1] * scale_y, box[2] * scale_x, box[3] * scale_y]

    def _query(
        self, row: int, record: dict[str, Any], image: Image.Image, box: list[float] | None, rng: np.random.Generator
    ) -> Image.Image:
        if record["query_image"] is not None:
            query = self.decode(row, record, "query_image")
            if self.augment_query_images and self.synthesizer is not None:
                return self.synthesizer.augment_photo(query, rng)
            return query
        if self.synthesizer is None:
            raise ValueError(f"row {row} (item {record['item_id']!r}): no query_image, and no synthesizer to make one")
        return self.synthesizer(image, box=box, rng=rng)


class _ImageCache:
    """Decoded listing photos in one flat array: a list of images would be copied, page by page, into every worker."""

    def __init__(self, dataset: PairDataset, max_side: int):
        photos, shapes, scales = [], [], []
        for row in range(len(dataset)):
            image = dataset.decode(row, to_record(dataset.catalog[row]))
            full = image.size
            if max(full) > max_side:
                image = image.copy()
                image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
            photos.append(np.asarray(image).ravel())
            shapes.append((image.height, image.width, 3))
            scales.append((image.width / full[0], image.height / full[1]))
        self.starts = np.cumsum([0, *(photo.size for photo in photos)])
        self.pixels = np.concatenate(photos) if photos else np.empty(0, np.uint8)
        self.shapes = np.array(shapes)
        self.scales = np.array(scales)

    def __getitem__(self, row: int) -> tuple[Image.Image, float, float]:
        pixels = self.pixels[self.starts[row] : self.starts[row + 1]].reshape(self.shapes[row])
        return Image.fromarray(pixels), float(self.scales[row][0]), float(self.scales[row][1])
