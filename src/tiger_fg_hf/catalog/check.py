"""Check a catalog before it is used: list every fault at once, and count oddities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..models.image_loading_tiger_fg import load_reduced_rgb_image
from ..models.record_text import map_columns
from ..models.value_text import value_text
from .encode import split_rows
from .faults import RowFault, reason_of
from .notes import count_notes, describe_notes, total_notes
from .pairing import PairedCatalog
from .record import IMAGE_COLUMNS, read_box
from .rows import text_record, undecoded

_ROWS_AT_ONCE = 32
_FAULTS_SHOWN = 20


@dataclass(frozen=True)
class CatalogReport:
    """What `check_catalog` found.

    Attributes:
        num_rows: Number of rows checked.
        faults: Every fault, in row order; a row may have several.
        notes: Counts of oddities that do not make a row unusable: `empty_texts`, `empty_titles`,
            `html_titles`, `cut_texts`, `clipped_boxes` and `duplicate_item_ids`, without zeros.
    """

    num_rows: int
    faults: list[RowFault] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def sound_rows(self) -> list[int]:
        """Return the numbers of the rows without a fault."""
        faulty = {fault.row for fault in self.faults}
        return [row for row in range(self.num_rows) if row not in faulty]

    def raise_if_faulty(self) -> None:
        """Raise an error that lists the faults, if there are any.

        Raises:
            ValueError: If a row has a fault; the message shows the first 20.
        """
        if self.faults:
            hidden = len(self.faults) - _FAULTS_SHOWN
            lines = [self._summary(), *map(str, self.faults[:_FAULTS_SHOWN])]
            raise ValueError(
                "\n".join(
                    [*lines, f"... and {hidden} more; `tiger-fg check` lists all of them"] if hidden > 0 else lines
                )
            )

    def to_markdown(self) -> str:
        """Return the faults and notes as Markdown."""
        lines = [self._summary()]
        if self.faults:
            lines += ["", "| Row | item_id | Fault |", "|---:|---|---|"]
            lines += [f"| {fault.row} | {fault.item_id} | {_cell(fault.reason)} |" for fault in self.faults]
        if self.notes:
            lines += ["", f"Notes: {describe_notes(self.notes)}"]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        lines = [self._summary(), *map(str, self.faults)]
        return "\n".join([*lines, describe_notes(self.notes)] if self.notes else lines)

    def _summary(self) -> str:
        faulty = self.num_rows - len(self.sound_rows())
        return f"{faulty} of {self.num_rows} rows cannot be used" if faulty else f"all {self.num_rows} rows are sound"


def check_catalog(
    catalog: Dataset | PairedCatalog,
    *,
    processor: Any = None,
    images: bool = True,
    num_workers: int = 0,
    show_progress: bool = False,
) -> CatalogReport:
    """Check every row of a catalog.

    A row is faulty if an image is missing or cannot be decoded, its `item_id` is empty, its box or attributes cannot
    be read, or its box lies outside the image. Images are decoded one at a time and not kept.

    Args:
        catalog: A catalog from `load_catalog` (not streamed) or `pair_queries`. Rows of other sources are mapped by
            the processor's `columns`.
        processor: Renders the text of a row and limits its length. By default, the text is title, category and
            attributes, and no text is too long.
        images: Decode the images. If False, missing and broken images and boxes outside their image go unnoticed.
        num_workers: Processes that read and decode; 0 uses this one.
        show_progress: Show a progress bar.

    Returns:
        The faults and notes.

    Example:
        >>> from datasets import Dataset
        >>> catalog = Dataset.from_dict({"item_id": ["a", None, "a"], "title": ["Mug", "Cup", "<b>Pot</b>"]})
        >>> print(check_catalog(catalog, images=False))
        1 of 3 rows cannot be used
        row 1 (item_id None): item_id is empty
        titles with HTML: 1, repeated item_ids: 1
    """
    source = _CheckedRows(catalog, processor, images)
    loader: DataLoader[_CheckedBatch] = DataLoader(
        source,  # type: ignore[arg-type]  # a DataLoader with a batch sampler only calls __getitems__
        batch_sampler=split_rows(range(len(catalog)), _ROWS_AT_ONCE, "batch size"),  # type: ignore[arg-type]
        collate_fn=_as_is,  # type: ignore[arg-type]  # __getitems__ returns a whole batch
        num_workers=num_workers,
    )
    faults: list[RowFault] = []
    notes: list[dict[str, int]] = []
    item_ids: list[str | None] = []
    with tqdm(total=len(catalog), unit="row", disable=not show_progress) as progress:
        for batch in loader:
            faults += batch.faults
            notes.append(batch.notes)
            item_ids += batch.item_ids
            progress.update(len(batch.item_ids))
    return CatalogReport(len(catalog), faults, total_notes(notes, item_ids))


class _CheckedBatch(NamedTuple):
    item_ids: list[str | None]
    faults: list[RowFault]
    notes: dict[str, int]


class _CheckedRow:
    """Reads one row, and collects the reasons why it cannot be used."""

    def __init__(self, row: Any, processor: Any, images: bool):
        row = map_columns(row, getattr(processor, "columns", None))
        self.reasons: list[str] = []
        self.notes: dict[str, int] = {}
        self.item_id = self._try(value_text, row.get("item_id"), "item_id") or None
        if self.item_id is None and not self.reasons:
            self.reasons.append("item_id is empty")
        record = self._try(text_record, {**row, "item_id": self.item_id})
        if record is not None:
            text = self._try(_text_of, record, processor)
            if text is not None:
                self.notes = count_notes([record], processor)
            if text == "":
                self.notes["empty_texts"] = 1  # such an item is embedded from its picture alone
        box = self._try(read_box, row.get("box"))
        if images:
            self._check_images(row, box)

    def _check_images(self, row: Any, box: list[float] | None) -> None:
        columns = [name for name in IMAGE_COLUMNS if name in row] or ["image"]
        # Only the first column must be filled: missing queries are synthesized.
        for column in columns:
            image = row.get(column)
            if image is None:
                if column == columns[0]:
                    self.reasons.append(f"{column} is missing")
                continue
            loaded = self._try(load_reduced_rgb_image, image, name=column)
            if loaded is not None and column == "image" and box is not None:
                self._check_box(box, loaded.full_size)

    def _check_box(self, box: list[float], size: tuple[int, int]) -> None:
        x0, y0, x1, y1 = box
        width, height = size
        if min(x1, width) - max(x0, 0) < 1 or min(y1, height) - max(y0, 0) < 1:
            self.reasons.append(f"box {box} lies outside the image of {width}x{height} pixels")
        elif min(x0, y0) <= -1 or x1 >= width + 1 or y1 >= height + 1:
            self.notes["clipped_boxes"] = 1

    def _try(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self.reasons.append(reason_of(error))
            return None


class _CheckedRows:
    """A map-style dataset that reads and checks whole batches, in the workers of a `DataLoader`."""

    def __init__(self, catalog: Dataset | PairedCatalog, processor: Any, images: bool):
        self.processor = processor
        self.images = images
        if isinstance(catalog, Dataset):
            kept = catalog.column_names if images else ()
            catalog = undecoded(catalog, keep=kept)
        self.catalog = catalog

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitems__(self, numbers: Sequence[int]) -> _CheckedBatch:
        item_ids, faults, notes = [], [], []
        for number in numbers:
            row = _CheckedRow(self.catalog[number], self.processor, self.images)
            item_ids.append(row.item_id)
            faults += [RowFault(number, row.item_id, reason) for reason in row.reasons]
            notes.append(row.notes)
        return _CheckedBatch(item_ids, faults, total_notes(notes))


def _text_of(record: dict[str, Any], processor: Any) -> str:
    """Return the text of a record; without a processor, its fields joined."""
    if hasattr(processor, "render_text"):
        return processor.render_text(record)
    return "".join(str(record.get(name) or "") for name in ("title", "category", "attributes"))


def _as_is(batch: _CheckedBatch) -> _CheckedBatch:
    return batch


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
