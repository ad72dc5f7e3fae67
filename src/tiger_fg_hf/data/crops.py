"""What listing photos show of their products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..catalog.record import to_record
from ..models.image_loading_tiger_fg import load_rgb_image
from .boxes import crop_to_box
from .matte import matte_extent, object_matte


class CatalogPhotos(Sequence):
    """Photos of a catalog, decoded as they are read.

    Args:
        catalog: from `load_catalog` or `pair_queries`, not streamed.
        column: `"image"`, of which only the product is shown, or `"query_image"`, shown whole; a row without such a
            query is shown by its listing, of which its query is synthesised. The product is what the box holds;
            without a box what stands out from a white background, as in a mosaic; or else the whole photo.
    """

    def __init__(self, catalog: Dataset | PairedCatalog, column: str = "image"):
        self.catalog, self.column = catalog, column

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, row: Any) -> Any:
        record = to_record(self.catalog[row])
        column = "image" if record[self.column] is None else self.column
        image = load_rgb_image(record[column], name=f"row {row} (item {record['item_id']!r}), {column}")
        if column != "image":
            return image
        box = record["box"]
        if box is None and (matte := object_matte(image)) is not None:
            box = matte_extent(matte)
        return crop_to_box(image, box)
