"""From images and catalog rows to embeddings, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import datasets
import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging

logger = logging.get_logger(__name__)

Records: TypeAlias = Sequence[Mapping[str, Any]] | datasets.Dataset
Processor: TypeAlias = Callable[..., Mapping[str, torch.Tensor]]
# By the start of a model's type; names, as remote code has classes of its own.
_PROCESSORS = {"tiger_fg": "TigerFGProcessor", "tgq_former": "TGQFormerProcessor"}


@dataclass(frozen=True)
class SkippedItem:
    """A catalog row that could not be processed, and why."""

    row: int
    item_id: str | None
    error: str

    def __str__(self) -> str:
        return f"row {self.row} (item_id {self.item_id!r}): {self.error}"


def encode_queries(
    model: torch.nn.Module,
    processor: Processor,
    images: Sequence[Any],
    *,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    show_progress: bool = False,
    autocast_dtype: torch.dtype | None = None,
    item_ids: Sequence[str] | None = None,
) -> torch.Tensor:
    """Encodes query images.

    Args:
        model: the query tower: `model(pixel_values=...).embeds` [B, D]. Its train/eval state is restored.
        processor: `processor(images=[...], return_tensors="pt")`; runs in the workers.
        images: whatever the processor opens (PIL images, paths, undecoded `{"bytes", "path"}`), at least one.
        batch_size: images per forward pass.
        device: moves the model there first. Default: where it is.
        num_workers: processes that decode and preprocess; 0 does it in this one.
        show_progress: whether to draw a progress bar.
        autocast_dtype: run under `torch.autocast` with this dtype.
        item_ids: ids of the images' products, to name one in an error.

    Returns:
        [Q, D] float32 on the CPU; row i belongs to `images[i]`.

    Raises:
        ValueError: no images, an image could not be processed (its row is named), or the processor is that of another
            method.
    """
    embeds, _ = _encode_all(
        model,
        _QueryRows(images, processor, item_ids),
        batch_size,
        device,
        num_workers=num_workers,
        show_progress=show_progress,
        autocast_dtype=autocast_dtype,
    )
    return embeds


def encode_items(
    model: torch.nn.Module,
    processor: Processor,
    records: Records,
    *,
    return_grounding: bool = False,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    show_progress: bool = False,
    autocast_dtype: torch.dtype | None = None,
) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
    """Encodes catalog rows: an image and its text become one embedding.

    Args:
        model: what embeds items, a `TigerFGItemModel` or a `TGQFormerModel`: `model(**processed).embeds` [B, D], and
            for `return_grounding` `.grounding` [B, h, w].
        processor: `processor(images=[...], text=[record, ...], return_tensors="pt")`; runs in the workers.
        records: a `datasets.Dataset` or a list of dicts, at least one row. Its `image` may be absent or `None`; the
            rest is the record that the processor renders: `title`, `category`, `attributes` (or columns
            `attributes.<name>`, as of `load_catalog`), or what its template names.
        return_grounding: also return where the model looked.
        batch_size, device, num_workers, show_progress, autocast_dtype: as in `encode_queries`.

    Returns:
        embeds [N, D] float32 on the CPU, row i for `records[i]`; with `return_grounding` also a list of N maps [h, w]
        float32, each summing to 1 (with the real tower to 0, for an item without image).

    Raises:
        ValueError: no records, a row could not be processed (it is named with its item_id), the processor is that of
            another method, or the model has no `.grounding`, as TGQ-Former.
    """
    embeds, groundings = _encode_all(
        model,
        ItemRows(records, processor),
        batch_size,
        device,
        num_workers=num_workers,
        show_progress=show_progress,
        autocast_dtype=autocast_dtype,
        grounding=return_grounding,
    )
    return (embeds, groundings) if return_grounding else embeds


@contextmanager
def evaluating(model: torch.nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """Eval mode, on `device`; afterwards each submodule returns to its own mode (frozen parts may differ)."""
    if device is not None:
        model.to(device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


# --- rows to batches -------------------------------------------------------------------------------------------------


def split_rows(rows: range, size: int, name: str) -> list[range]:
    """Consecutive runs of `size` rows, the last one shorter; `name` is what an error calls `size`."""
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return [rows[first : first + size] for first in range(0, len(rows), size)]


class _Processed(NamedTuple):
    """A batch as it leaves a worker: the rows that could be processed, and those that could not."""

    rows: list[int]
    item_ids: list[str | None]
    inputs: dict[str, torch.Tensor]
    failed: list[SkippedItem]


class _Rows:
    """Reads and processes whole batches, in a DataLoader worker. Subclasses say how."""

    def __init__(self, rows: Sequence[Any], processor: Processor):
        self.rows = rows
        self.processor = processor

    def __len__(self) -> int:
        return len(self.rows)

    def process(self, rows: list[Any]) -> Mapping[str, torch.Tensor]:
        raise NotImplementedError

    def item_id(self, index: int, row: Any) -> str | None:
        raise NotImplementedError

    def __getitems__(self, indices: Sequence[int]) -> _Processed:
        try:
            return self._process(list(indices), failed=[])
        except Exception as error:
            if len(indices) == 1:
                return _Processed([], [], {}, [self._failure(indices[0], error)])
        # Something in the batch is bad: find out what, row by row, so that the error can name it.
        singles = [self.__getitems__([index]) for index in indices]
        good = [index for single in singles for index in single.rows]
        failed = [failure for single in singles for failure in single.failed]
        return self._process(good, failed) if good else _Processed([], [], {}, failed)

    def _process(self, indices: list[int], failed: list[SkippedItem]) -> _Processed:
        rows = [self.rows[index] for index in indices]
        item_ids = [self.item_id(index, row) for index, row in zip(indices, rows, strict=True)]
        return _Processed(indices, item_ids, dict(self.process(rows)), failed)

    def _failure(self, index: int, error: Exception) -> SkippedItem:
        try:
            item_id = self.item_id(index, self.rows[index])
        except Exception:  # the row itself cannot be read
            item_id = None
        return SkippedItem(index, item_id, f"{type(error).__name__}: {error}")


class _QueryRows(_Rows):
    def __init__(self, images: Sequence[Any], processor: Processor, item_ids: Sequence[str] | None):
        super().__init__(images, processor)
        if item_ids is not None and len(item_ids) != len(images):
            raise ValueError(f"item_ids must name every image, got {len(item_ids)} for {len(images)} images")
        self.item_ids = item_ids

    def process(self, rows: list[Any]) -> Mapping[str, torch.Tensor]:
        return self.processor(images=rows, return_tensors="pt")

    def item_id(self, index: int, row: Any) -> str | None:
        return None if self.item_ids is None else self.item_ids[index]


class ItemRows(_Rows):
    """Catalog rows; with `require_item_id`, a row whose `item_id` is no string counts as one that has failed."""

    def __init__(self, records: Records, processor: Processor, *, require_item_id: bool = False):
        if isinstance(records, datasets.Dataset):  # other pictures, such as `query_image`, need not be read
            pictures = [name for name, kind in records.features.items() if isinstance(kind, datasets.Image)]
            records = records.remove_columns([name for name in pictures if name != "image"])
            if "image" in pictures and records.format["type"] is None:
                # The processor decodes: a broken image then leaves the rest of its row, with the item_id, readable.
                records = records.cast_column("image", datasets.Image(decode=False))
        super().__init__(records, processor)
        self.require_item_id = require_item_id

    def process(self, rows: list[Any]) -> Mapping[str, torch.Tensor]:
        texts = [{name: value for name, value in row.items() if name != "image"} for row in rows]
        return self.processor(images=[row.get("image") for row in rows], text=texts, return_tensors="pt")

    def item_id(self, index: int, row: Any) -> str | None:
        item_id = row.get("item_id")
        if self.require_item_id and not isinstance(item_id, str):
            raise ValueError(f"item_id must be a string, got {item_id!r}")
        return item_id


# --- batches to embeddings -------------------------------------------------------------------------------------------


class EncodedBatch(NamedTuple):
    """What became of a batch: n rows encoded, the others failed."""

    item_ids: list[str | None]  # [n]
    embeds: torch.Tensor  # [n, D]; [0, 0] where every row failed
    grounding: torch.Tensor | None  # [n, h, w]
    failed: list[SkippedItem]


def encode_batches(
    model: torch.nn.Module,
    source: _Rows,
    batches: list[range],
    *,
    num_workers: int,
    show_progress: bool,
    autocast_dtype: torch.dtype | None,
    grounding: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
) -> Iterator[EncodedBatch]:
    """Encodes `batches` of the rows of `source` in turn; results are float32 on the CPU."""
    _check_processor(model, source.processor)
    device = next(model.parameters()).device
    loader: DataLoader[_Processed] = DataLoader(
        source,  # type: ignore[arg-type]  # has __getitems__, which is what a batch sampler's DataLoader calls
        batch_sampler=batches,  # type: ignore[arg-type]  # ranges serve as lists of indices
        collate_fn=_as_is,  # type: ignore[arg-type]  # __getitems__ returns a whole batch
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
    )
    with tqdm(total=sum(map(len, batches)), unit="row", disable=not show_progress) as progress:
        for rows, item_ids, inputs, failed in loader:
            for failure in failed:
                if on_error == "raise":
                    raise ValueError(f"cannot process {failure}")
                logger.warning("skipped %s", failure)
            embeds, maps = torch.empty(0, 0), None
            if rows:
                inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
                # Not around the loop: a generator would leave the mode on in its caller.
                with (
                    torch.no_grad(),
                    torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None),
                ):
                    output = model(**inputs)
                embeds = output.embeds.float().cpu()
                if grounding and not hasattr(output, "grounding"):
                    raise ValueError(f"return_grounding: a {type(model).__name__} does not tell where it looks")
                maps = output.grounding.float().cpu() if grounding else None
            progress.update(len(rows) + len(failed))
            yield EncodedBatch(item_ids, embeds, maps, failed)


def _check_processor(model: torch.nn.Module, processor: Processor) -> None:
    """Refuses the processor of our other method, which has other texts and tokenizers; any other callable may do."""
    family = getattr(getattr(model, "config", None), "model_type", "")
    wanted = next((name for prefix, name in _PROCESSORS.items() if family.startswith(prefix)), None)
    found = type(processor).__name__
    if wanted is not None and found != wanted and found in _PROCESSORS.values():
        raise ValueError(f"processor: a {type(model).__name__} needs a {wanted}, got a {found}")


def _as_is(batch: _Processed) -> _Processed:
    return batch


def _encode_all(
    model: torch.nn.Module,
    source: _Rows,
    batch_size: int,
    device: torch.device | str | None,
    *,
    grounding: bool = False,
    **options: Any,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    if len(source) == 0:
        raise ValueError("there is nothing to encode: got 0 rows")
    batches = split_rows(range(len(source)), batch_size, "batch_size")
    with evaluating(model, device):
        encoded = list(encode_batches(model, source, batches, grounding=grounding, **options))
    maps = [one for batch in encoded if batch.grounding is not None for one in batch.grounding]
    return torch.cat([batch.embeds for batch in encoded]), maps
