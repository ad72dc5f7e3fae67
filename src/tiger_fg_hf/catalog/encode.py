"""Embed query images and catalog rows, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging

from .eval_mode import in_eval_mode
from .faults import RowFault
from .notes import describe_notes, total_notes
from .rows import ItemRows, ProcessedBatch, Processor, QueryRows, Records, RowBatches

logger = logging.get_logger(__name__)

# The processor for each prefix of a model type. Names, not classes, because remote code has its own classes.
_PROCESSORS = {"tiger_fg": "TigerFGProcessor", "tgq_former": "TGQFormerProcessor"}


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
    """Embed query images.

    Args:
        model: Query tower, called as `model(pixel_values=...)` for `.embeds` `[B, D]`. It is evaluated in eval
            mode; its own mode does not change, so several threads may share it.
        processor: Called as `processor(images=[...], return_tensors="pt")`, in the worker processes.
        images: Anything that the processor can open (PIL images, paths, undecoded `{"bytes", "path"}`), at least one.
        batch_size: Images per forward pass.
        device: Device to move the model to. By default, the model stays where it is.
        num_workers: Processes that decode and preprocess images; 0 uses this one.
        show_progress: Show a progress bar.
        autocast_dtype: Run under `torch.autocast` with this data type.
        item_ids: Ids of the products in the images, used to name an image in error messages.

    Returns:
        `[Q, D]`, float32, on the CPU; row i belongs to `images[i]`.

    Raises:
        ValueError: If there are no images, an image cannot be processed (the message names its row), or the processor
            belongs to another method.
    """
    embeds, _ = _encode_all(
        model,
        QueryRows(images, processor, item_ids),
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
    """Embed catalog rows: image and text become one vector.

    Empty titles, HTML in titles, texts longer than the processor's `max_length` and repeated item ids are counted, and
    logged once as a warning.

    Args:
        model: Item model, a `TigerFGItemModel` or a `TGQFormerModel`, called as `model(**inputs)` for `.embeds`
            `[B, D]` and, with `return_grounding`, `.grounding` `[B, h, w]`.
        processor: Called as `processor(images=[...], text=[record, ...], return_tensors="pt")`, in the worker
            processes.
        records: A `datasets.Dataset` or a list of dicts, at least one row. `image` may be missing or None. The text
            comes from `title`, `category` and `attributes` (or columns `attributes.<name>`, as in `load_catalog`),
            converted as for training, and from other columns if the processor's template names them. If a source
            uses other names, the processor's `columns` map them.
        return_grounding: Also return where the model looked.
        batch_size: Rows per forward pass.
        device: See `encode_queries`.
        num_workers: See `encode_queries`.
        show_progress: See `encode_queries`.
        autocast_dtype: See `encode_queries`.

    Returns:
        `[N, D]`, float32, on the CPU; row i belongs to `records[i]`. With `return_grounding`, also a list of N maps
        `[h, w]`, float32, that each sum to 1 (or to 0 for an item without an image).

    Raises:
        ValueError: If there are no records, a row cannot be processed (the message names row and `item_id`), the
            processor belongs to another method, or the model, such as TGQ-Former, returns no grounding.

    Example:
        >>> from tiger_fg_hf import TigerFGItemModel, TigerFGProcessor, load_catalog
        >>> model = TigerFGItemModel.from_pretrained("model_cards/tiger-fg-tiny")  # doctest: +SKIP
        >>> processor = TigerFGProcessor.from_pretrained("model_cards/tiger-fg-tiny")  # doctest: +SKIP
        >>> embeds = encode_items(model, processor, load_catalog("listings.csv"))  # doctest: +SKIP
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


def split_rows(rows: range, size: int, name: str) -> list[range]:
    """Split rows into consecutive runs of `size`, the last one possibly shorter; `name` is what errors call `size`.

    Example:
        >>> split_rows(range(5), 2, "batch_size")
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return [rows[first : first + size] for first in range(0, len(rows), size)]


class EncodedBatch(NamedTuple):
    """A batch with n encoded rows; the others are faulty.

    Attributes:
        item_ids: Ids of the encoded rows, `[n]`.
        embeds: `[n, D]`, float32, or `[0, 0]` if every row is faulty.
        grounding: `[n, h, w]` if asked for.
        faults: The faulty rows.
        notes: See `ProcessedBatch`.
        image_files: See `ProcessedBatch`.
    """

    item_ids: list[str | None]
    embeds: torch.Tensor
    grounding: torch.Tensor | None
    faults: list[RowFault]
    notes: dict[str, int]
    image_files: list[str]


def encode_batches(
    model: torch.nn.Module,
    source: RowBatches,
    batches: list[range],
    *,
    num_workers: int,
    show_progress: bool,
    autocast_dtype: torch.dtype | None,
    grounding: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
) -> Iterator[EncodedBatch]:
    """Encode batches of rows of `source` in turn; the results are float32 on the CPU."""
    _check_processor(model, source.processor)
    device = next(model.parameters()).device
    loader: DataLoader[ProcessedBatch] = DataLoader(
        source,  # type: ignore[arg-type]  # a DataLoader with a batch sampler only calls __getitems__
        batch_sampler=batches,  # type: ignore[arg-type]  # ranges serve as lists of indices
        collate_fn=_as_is,  # type: ignore[arg-type]  # __getitems__ returns a whole batch
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
    )
    with tqdm(total=sum(map(len, batches)), unit="row", disable=not show_progress) as progress:
        for batch in loader:
            for fault in batch.faults:
                if on_error == "raise":
                    raise ValueError(f"cannot process {fault}")
                logger.warning("skipped %s", fault)
            embeds, maps = torch.empty(0, 0), None
            if batch.item_ids:
                inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.inputs.items()}
                # Not around the loop: between batches, a generator would leave these modes on in its caller.
                with (
                    torch.no_grad(),
                    torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None),
                ):
                    output = model(**inputs)
                embeds = output.embeds.float().cpu()
                if grounding and not hasattr(output, "grounding"):
                    raise ValueError(f"return_grounding: a {type(model).__name__} returns no grounding")
                maps = output.grounding.float().cpu() if grounding else None
            progress.update(len(batch.item_ids) + len(batch.faults))
            yield EncodedBatch(batch.item_ids, embeds, maps, batch.faults, batch.notes, batch.image_files)


def log_notes(notes: Mapping[str, int], num_rows: int) -> None:
    """Log the oddities of a catalog, if there are any, as one warning."""
    if notes:
        logger.warning("catalog of %d rows: %s", num_rows, describe_notes(notes))


def _check_processor(model: torch.nn.Module, processor: Processor) -> None:
    """Refuse the processor of the other method, which prepares other texts; allow any other callable."""
    family = getattr(getattr(model, "config", None), "model_type", "")
    expected = next((name for prefix, name in _PROCESSORS.items() if family.startswith(prefix)), None)
    actual = type(processor).__name__
    if expected is not None and actual != expected and actual in _PROCESSORS.values():
        raise ValueError(f"processor: a {type(model).__name__} needs a {expected}, got a {actual}")


def _as_is(batch: ProcessedBatch) -> ProcessedBatch:
    return batch


def _encode_all(
    model: torch.nn.Module,
    source: RowBatches,
    batch_size: int,
    device: torch.device | str | None,
    *,
    grounding: bool = False,
    **options: Any,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    if len(source) == 0:
        raise ValueError("there is nothing to encode: got 0 rows")
    batches = split_rows(range(len(source)), batch_size, "batch_size")
    model = in_eval_mode(model, device)
    encoded = list(encode_batches(model, source, batches, grounding=grounding, **options))
    if isinstance(source, ItemRows):
        item_ids = [item_id for batch in encoded for item_id in batch.item_ids]
        log_notes(total_notes((batch.notes for batch in encoded), item_ids), len(item_ids))
    maps = [one for batch in encoded if batch.grounding is not None for one in batch.grounding]
    return torch.cat([batch.embeds for batch in encoded]), maps
