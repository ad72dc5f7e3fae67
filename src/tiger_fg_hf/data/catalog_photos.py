"""Photos of a whole catalog, cropped to their products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..catalog.photos import load_photo
from ..catalog.record import to_record
from .boxes import crop_to_box
from .matte import matte_extent, object_matte


class CatalogPhotos(Sequence):
    """Photos of a catalog, decoded as they are read.

    A listing is cropped to its box. Without a box, it is cropped to what stands out from a white background, as in a
    mosaic, or else shown whole.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed.
        column: `"image"` for listings, or `"query_image"` for query photos, which are shown whole. A row without a
            query photo shows its listing.
    """

    def __init__(self, catalog: Dataset | PairedCatalog, column: str = "image"):
        self.catalog, self.column = catalog, column

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, row: Any) -> Any:
        record = to_record(self.catalog[row])
        column = "image" if record[self.column] is None else self.column
        name = f"row {row} (item {record['item_id']!r}), {column}"
        image, box = load_photo(record[column], record["box"] if column == "image" else None, name=name)
        if column != "image":
            return image
        if box is None and (matte := object_matte(image)) is not None:
            return crop_to_box(image, matte_extent(matte))
        return crop_to_box(image, box)
