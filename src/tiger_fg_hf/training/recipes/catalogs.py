"""Training catalogs: their arguments, how they are opened and checked, and the photos used as backgrounds."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import ProcessorMixin
from transformers.image_processing_base import ImageProcessingMixin

from ...catalog.check import CatalogReport, check_catalog
from ...catalog.columns import format_columns, parse_columns
from ...catalog.fingerprint import catalog_fingerprint
from ...catalog.notes import describe_notes
from ...catalog.pairing import pair_queries
from ...catalog.record import to_record
from ...catalog.source import load_catalog
from ...synthetic.drawn import drawn_catalog
from ..arguments import ArgumentGroup, argument

logger = logging.getLogger(__name__)

Layout = Literal["clean", "clutter", "mixed"]
# Drawings smaller than this lose their details.
_SMALLEST_SIDE = 96


@dataclass
class CatalogArguments(ArgumentGroup):
    """The catalogs to train on and to evaluate on."""

    _argument_group_name = "Data"

    # A resumed run compares the content of the catalog, not its location.
    data: str = argument("drawn", "Catalog: folder, file or Hub id, or 'drawn' for drawings.", resume="may_change")
    split: str | None = argument(None, "Split of the catalog, if it has several.", resume="may_change")
    columns: str | None = argument(
        None,
        "Columns of the catalog whose names differ from the schema, as 'title=name,attributes=color+keywords'. The "
        "mapping is saved with the processor. By default, that of --model applies.",
    )
    on_error: Literal["raise", "skip"] = argument(
        "raise",
        "What to do about rows that cannot be used, such as unreadable photos. The catalog is checked before the "
        "first step: 'raise' lists these rows and stops, 'skip' leaves them out and counts them in run.json.",
        resume="may_change",
    )
    allow_outside: bool = argument(
        False, "Read image paths that leave the folder of their catalog.", resume="may_change"
    )
    clutter: str | None = argument(None, "Photos to use as backgrounds of products. Backgrounds are drawn by default.")
    drawn_products: int = argument(3000, "Products of the drawn catalog.")
    eval_data: str | None = argument(
        None, "Catalog to evaluate on during training; it must not contain training data.", resume="may_change"
    )
    eval_limit: int = argument(500, "Listings of --eval_data to use.", resume="may_change")
    num_workers: int = argument(2, "Processes that prepare batches.", resume="may_change")
    cache_decoded: bool = argument(True, "Keep decoded photos in memory, scaled down.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.columns is not None:  # one spelling, so that a resumed run may give the same mapping in another
            self.columns = format_columns(dict(sorted(parse_columns(self.columns).items())))

    @property
    def _listing_columns(self) -> str:
        """The argument that maps the columns of the listings, whose texts the model reads."""
        return "columns"

    @property
    def column_mapping(self) -> dict[str, str | list[str]] | None:
        """Column mapping of the listings, as the processor saves it."""
        columns = getattr(self, self._listing_columns)
        return None if columns is None else parse_columns(columns)

    def use_saved_columns(self, checkpoint: str | None) -> None:
        """Map the listings as `checkpoint` was trained, unless a mapping is given or the catalog is drawn."""
        if self.column_mapping is None and checkpoint is not None and self.data != "drawn":
            saved, _ = ProcessorMixin.get_processor_dict(checkpoint)
            columns = dict(sorted((saved.get("columns") or {}).items()))
            setattr(self, self._listing_columns, format_columns(columns) or None)


@dataclass(frozen=True)
class TrainingCatalog:
    """The rows that a run is trained on.

    Attributes:
        rows: A `datasets.Dataset` or a [`PairedCatalog`].
        source: `--data`.
        skipped: Number of rows that `--on_error skip` left out.
        notes: Counted oddities of the catalog; see [`CatalogReport`].
    """

    rows: Any
    source: str
    skipped: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the rows' content."""
        return catalog_fingerprint(self.rows)

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` records of the catalog."""
        return {"fingerprint": self.fingerprint, "rows": len(self.rows), "skipped": self.skipped}

    def describe(self) -> list[str]:
        """Return the lines that a run prints about its catalog."""
        skipped = f", {self.skipped} unusable rows left out" if self.skipped else ""
        lines = [f"catalog: {self.source}, {len(self.rows)} rows{skipped}, fingerprint {self.fingerprint}"]
        if self.notes:
            lines.append(f"notes: {describe_notes(self.notes)}")
        return lines


def draw_catalog(
    data: CatalogArguments,
    *,
    image_size: int,
    num_products: int,
    split: str = "train",
    views: int = 1,
    layout: Layout = "clean",
    seed: int = 0,
) -> Any:
    """Draw a catalog of pictures of `image_size` pixels, but at least 96."""
    return load_catalog(
        drawn_catalog(
            num_products=num_products,
            split=split,
            views=views,
            layout=layout,
            seed=seed,
            size=max(image_size, _SMALLEST_SIDE),
            num_proc=max(data.num_workers, 1),
        )
    )


def read_catalog(
    source: str,
    *,
    split: str | None = None,
    columns: str | None = None,
    items: str | None = None,
    item_columns: str | None = None,
    allow_outside: bool = False,
) -> Any:
    """Open a catalog, or join its query photos to the listings of `items`.

    Args:
        source: Folder, file or Hub id.
        split: Split to read, if there are several.
        columns: Column mapping in the form of `parse_columns`.
        items: Catalog with the listings, if `source` holds only query photos with item ids.
        item_columns: Column mapping of `items`.
        allow_outside: Read image paths that leave the folder of their catalog.
    """
    catalog = load_catalog(source, split=split, columns=columns, allow_outside=allow_outside)
    if items is None:
        return catalog
    return pair_queries(catalog, load_catalog(items, columns=item_columns, allow_outside=allow_outside))


def build_eval_catalog(data: CatalogArguments, *, image_size: int, layout: Layout = "clean") -> Any:
    """Open the catalog to evaluate during training: `--eval_data`, or drawn products of another split.

    Raises:
        ValueError: If the training catalog is not drawn and `--eval_data` is missing.
    """
    if data.eval_data is None and data.data != "drawn":
        raise ValueError("--eval_every needs --eval_data, a catalog without training data.")
    if data.eval_data is None or data.eval_data == "drawn":
        return draw_catalog(
            data, image_size=image_size, num_products=data.eval_limit, split="validation", layout=layout
        )
    catalog = load_catalog(data.eval_data, columns=data.columns, allow_outside=data.allow_outside)
    return catalog.select(range(min(data.eval_limit, len(catalog))))


def check_training_rows(
    accelerator: Accelerator, rows: Any, data: CatalogArguments, processor: Any
) -> TrainingCatalog:
    """Check all rows of the training catalog before the first step, on the main process.

    Raises:
        ValueError: If rows cannot be used and `--on_error` is `raise`; the message lists the first 20 faults.
    """
    if data.data == "drawn":
        return TrainingCatalog(rows, data.data)
    reports: list[CatalogReport | None] = [None]
    if accelerator.is_main_process:
        reports = [_check(rows, data, processor)]
    broadcast_object_list(reports)
    (report,) = reports
    assert report is not None
    usable, skipped = _usable_rows(rows, report, data.data)
    return TrainingCatalog(usable, data.data, skipped, report.notes)


def check_eval_rows(rows: Any, data: CatalogArguments, processor: Any) -> Any:
    """Check the catalog to evaluate in the same way; return its usable rows."""
    if data.eval_data in (None, "drawn"):
        return rows
    return _usable_rows(rows, _check(rows, data, processor), str(data.eval_data))[0]


def _check(rows: Any, data: CatalogArguments, processor: Any) -> CatalogReport:
    with torch.random.fork_rng(devices=[]):  # loaders draw from the generator of initial weights and dropout
        report = check_catalog(rows, processor=processor, num_workers=data.num_workers, show_progress=True)
    if data.on_error == "raise":
        report.raise_if_faulty()
    return report


def _usable_rows(rows: Any, report: CatalogReport, source: str) -> tuple[Any, int]:
    """Return the usable rows, and the number of others."""
    if not report.faults:
        return rows, 0
    for fault in report.faults:
        logger.warning("%s: left out %s", source, fault)
    usable = report.sound_rows()
    return rows.select(usable), len(rows) - len(usable)


def pixel_statistics(vision: str) -> dict[str, list[float]]:
    """Read the mean and deviation that a vision encoder was trained with; ImageNet's apply if it saves none."""
    try:
        saved, _ = ImageProcessingMixin.get_image_processor_dict(vision)
    except OSError:
        logger.warning("'%s' has no preprocessor_config.json: images are normalized as for ImageNet.", vision)
        return {}
    return {name: saved[name] for name in ("image_mean", "image_std") if saved.get(name) is not None}


def catalog_texts(catalog: Any) -> Iterator[str]:
    """Yield the words of every row, for training a tokenizer; their order and separators do not matter."""
    images = ("image", "query_image")
    for row in range(len(catalog)):
        try:
            record = to_record({name: value for name, value in catalog[row].items() if name not in images})
        except Exception as error:
            raise ValueError(f"row {row} of the catalog cannot be read for the tokenizer: {error}") from error
        attributes = ", ".join(f"{name}: {value}" for name, value in (record["attributes"] or {}).items())
        yield " | ".join(filter(None, (record["title"], record["category"], attributes)))
