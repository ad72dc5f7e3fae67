"""Read images and catalog rows and process them in batches, in the workers of a `DataLoader`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import datasets
import torch

from ..models.record_text import ATTRIBUTE_PREFIX, check_names, fold_attributes, has_unmapped_columns, map_columns
from ..models.value_text import value_text
from .faults import RowFault, reason_of
from .image_files import file_identity, image_path, image_paths
from .notes import count_notes

Records: TypeAlias = Sequence[Mapping[str, Any]] | datasets.Dataset
Processor: TypeAlias = Callable[..., Mapping[str, torch.Tensor]]


class ProcessedBatch(NamedTuple):
    """A batch of rows as it leaves a worker.

    Attributes:
        item_ids: Ids of the n rows that could be processed.
        inputs: Model inputs of these rows; empty if there are none.
        faults: The other rows.
        notes: Counts of oddities among the processed rows; see `count_notes`.
        image_files: Identity of each row's image file, faulty rows included.
    """

    item_ids: list[str | None]
    inputs: dict[str, torch.Tensor]
    faults: list[RowFault]
    notes: dict[str, int]
    image_files: list[str]


@dataclass
class Row:
    """A row that has been read: its image, its record (None for queries), and its fault if it has one."""

    number: int
    item_id: str | None = None
    image: Any = None
    record: dict[str, Any] | None = None
    fault: RowFault | None = None
    image_file: str = ""

    def fail(self, reason: str) -> None:
        """Mark the row as faulty."""
        self.fault = RowFault(self.number, self.item_id, reason)


class RowBatches:
    """A map-style dataset that reads and processes whole batches. Subclasses say how to read and process a row."""

    def __init__(self, processor: Processor):
        self.processor = processor

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, number: int) -> Row:
        """Read one row; mark it as faulty if it cannot be read."""
        raise NotImplementedError

    def process(self, rows: list[Row]) -> Mapping[str, torch.Tensor]:
        """Turn rows into model inputs."""
        raise NotImplementedError

    def __getitems__(self, numbers: Sequence[int]) -> ProcessedBatch:
        rows = [self.read(number) for number in numbers]
        sound = [row for row in rows if row.fault is None]
        try:
            inputs = self.process(sound) if sound else {}
        except Exception:
            # Process the rows one by one to find the faulty ones.
            for row in sound:
                try:
                    self.process([row])
                except Exception as error:
                    row.fail(reason_of(error))
            sound = [row for row in sound if row.fault is None]
            inputs = self.process(sound) if sound else {}
        items = [row for row in sound if row.record is not None]
        notes = count_notes([row.record for row in items if row.record is not None], self.processor)
        if without_image := sum(row.image is None for row in items):
            notes["missing_images"] = without_image
        return ProcessedBatch(
            [row.item_id for row in sound],
            dict(inputs),
            [row.fault for row in rows if row.fault is not None],
            notes,
            [row.image_file for row in rows],
        )


class QueryRows(RowBatches):
    """Query images, with the ids of the products they show, if known."""

    def __init__(self, images: Sequence[Any], processor: Processor, item_ids: Sequence[str] | None = None):
        super().__init__(processor)
        if item_ids is not None and len(item_ids) != len(images):
            raise ValueError(f"item_ids must name every image, got {len(item_ids)} for {len(images)} images")
        self.images = images
        self.item_ids = item_ids

    def __len__(self) -> int:
        return len(self.images)

    def read(self, number: int) -> Row:
        """Read one image."""
        row = Row(number, None if self.item_ids is None else self.item_ids[number])
        try:
            row.image = self.images[number]
        except Exception as error:
            row.fail(reason_of(error))
        return row

    def process(self, rows: list[Row]) -> Mapping[str, torch.Tensor]:
        """Process images as queries."""
        return self.processor(images=[row.image for row in rows], return_tensors="pt")


class ItemRows(RowBatches):
    """Catalog rows, converted to records as for training.

    If `load_catalog` has not mapped the rows, the processor's `columns` map them to the schema, if it has any.

    Args:
        records: Rows of any source.
        processor: Turns images and records into model inputs.
        require_item_id: Treat a row without `item_id` as faulty.
        identify_files: Whether to identify image files; see `file_identity`.
        hash_images: Whether to identify them by their content.
    """

    def __init__(
        self,
        records: Records,
        processor: Processor,
        *,
        require_item_id: bool = False,
        identify_files: bool = False,
        hash_images: bool = False,
    ):
        super().__init__(processor)
        self.columns = getattr(processor, "columns", None)
        names = getattr(records, "column_names", None) or ("image",)
        image_source = str((self.columns or {}).get("image", "image"))
        is_mapped = "image" in names and not has_unmapped_columns(names, self.columns)
        self.image_column = image_source if image_source in names and not is_mapped else "image"
        self.records = undecoded(records, keep=(self.image_column,))
        self.require_item_id = require_item_id
        self.identify_files = identify_files
        self.hash_images = hash_images

    def __len__(self) -> int:
        return len(self.records)

    def read(self, number: int) -> Row:
        """Read one row and convert it to a record."""
        row = Row(number)
        try:
            values = map_columns(self.records[number], self.columns)
            row.image = values.get("image")
            if self.identify_files:
                # Before the image is read: a file that changes in between is then noticed by the next run.
                row.image_file = file_identity(image_path(row.image), hash_content=self.hash_images)
            row.item_id = value_text(values.get("item_id"), "item_id") or None
            if self.require_item_id and row.item_id is None:
                row.fail("its item_id is empty")
            row.record = text_record({name: value for name, value in values.items() if name != self.image_column})
        except Exception as error:
            row.fail(reason_of(error))
        return row

    def process(self, rows: list[Row]) -> Mapping[str, torch.Tensor]:
        """Process images with their records."""
        images, records = [row.image for row in rows], [row.record for row in rows]
        return self.processor(images=images, text=records, return_tensors="pt")

    def image_files(self, rows: range) -> list[str]:
        """Identify the image files of some rows as they are now."""
        if not isinstance(self.records, datasets.Dataset):
            return [self.read(row).image_file for row in rows]
        paths = image_paths(self.records, self.image_column, rows)
        return [file_identity(path, hash_content=self.hash_images) for path in paths]


def undecoded(records: Any, keep: Sequence[str]) -> Any:
    """Return a `datasets.Dataset` without image columns other than `keep`, undecoded; other records unchanged.

    Decoding is left to the processor, so that a broken image leaves the rest of its row readable.
    """
    if not isinstance(records, datasets.Dataset):
        return records
    images = [name for name, feature in records.features.items() if isinstance(feature, datasets.Image)]
    records = records.remove_columns([name for name in images if name not in keep])
    if records.format["type"] is None:
        for name in set(images).intersection(keep):
            records = records.cast_column(name, datasets.Image(decode=False))
    return records


def text_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the text columns of a row as `to_record` does, and keep others, which a text template may name.

    Raises:
        ValueError: If a value cannot be read as text.

    Example:
        >>> text_record({"item_id": 7, "title": "Mug", "attributes.color": "teal", "brand": "ACME", "image": None})
        {'item_id': '7', 'title': 'Mug', 'attributes': {'color': 'teal'}, 'brand': 'ACME'}
    """
    check_names(row)
    record: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("item_id", "title", "category"):
            record[name] = value_text(value, name)
        elif name == "attributes" or name.startswith(ATTRIBUTE_PREFIX):
            record.setdefault("attributes", fold_attributes(row))
        elif name not in ("image", "query_image", "box"):
            record[name] = value
    return record
