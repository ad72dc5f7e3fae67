"""Encode a large catalog to shards on disk, with resuming, and load them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.utils import logging

from .encode import encode_batches, log_notes, split_rows
from .eval_mode import in_eval_mode
from .faults import RowFault
from .folder_lock import lock_folder
from .manifest import claim_folder, model_fingerprint, processor_identity, read_manifest
from .notes import total_notes
from .rows import ItemRows, Processor, Records
from .shard_files import (
    DamagedShardError,
    ShardHeader,
    digest_image_files,
    read_shard,
    shard_path,
    write_shard,
)

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class EncodingReport:
    """What `encode_catalog` has written to `output_dir`, over all runs.

    Attributes:
        output_dir: The folder, for `load_embeddings`.
        encoded: Number of rows with an embedding.
        resumed: Number of these that an earlier run encoded.
        skipped: Rows without an embedding (only with `on_error="skip"`).
        notes: Counts of oddities: `empty_titles`, `html_titles`, `cut_texts`, `duplicate_item_ids`.
    """

    output_dir: Path
    encoded: int
    resumed: int
    skipped: list[RowFault] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CatalogEmbeddings:
    """An encoded catalog.

    Attributes:
        embeds: `[N, D]` in the stored data type.
        item_ids: Item id of each embedding, `[N]`.
        skipped: Rows without an embedding.
    """

    embeds: torch.Tensor
    item_ids: list[str]
    skipped: list[RowFault]


def encode_catalog(
    model: torch.nn.Module,
    processor: Processor,
    dataset: Records,
    output_dir: str | os.PathLike[str],
    *,
    shard_size: int = 50_000,
    storage_dtype: torch.dtype = torch.float32,
    on_error: Literal["raise", "skip"] = "raise",
    fingerprint: str | None = None,
    hash_images: bool = False,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    show_progress: bool = False,
    autocast_dtype: torch.dtype | None = None,
) -> EncodingReport:
    """Encode a large catalog to shards on disk. Run it again after an interruption to continue where it stopped.

    `output_dir` gets `manifest.json` and `shard-00000.safetensors`, ..., each with one tensor `embeds` `[n, D]` and
    the item ids in the header. A shard appears complete or not at all, and memory holds one shard at a time. Batches
    do not cross shards, so an interrupted and an uninterrupted run with the same `batch_size` give the same numbers.

    A later run encodes only the shards that are missing or damaged (each has a checksum of its content and place)
    and those whose image files have changed. Images that are embedded in a `datasets.Dataset` are part of its
    fingerprint.

    Args:
        model: See `encode_items`.
        processor: See `encode_items`. A callable without `save_pretrained` is identified by its name only.
        dataset: Rows as in `encode_items`, each with an `item_id`.
        output_dir: Folder for the shards; created if missing.
        shard_size: Rows per shard.
        storage_dtype: `torch.float32`, or `torch.float16` for half the space.
        on_error: What to do with a row that cannot be processed. `"raise"` stops; `"skip"` logs the row, leaves it
            out, and lists it in the report and in `load_embeddings`. A run that stopped can be resumed with `"skip"`.
        fingerprint: Identifies the rows. By default the fingerprint of the `datasets.Dataset`; required for other
            sequences (see `tiger_fg_hf.catalog.fingerprint.catalog_fingerprint`).
        hash_images: Identify image files by their content instead of path, size and modification time. Slower: a
            later run reads every file of the finished shards.
        batch_size: Rows per forward pass.
        device: See `encode_queries`.
        num_workers: See `encode_queries`.
        show_progress: See `encode_queries`.
        autocast_dtype: See `encode_queries`.

    Returns:
        The counts of encoded, resumed and skipped rows over all runs.

    Raises:
        ValueError: If `output_dir` was started with other rows, weights, preprocessing or options (the message
            lists them), a row cannot be processed (the message names row and `item_id`), no row can be processed, or
            an argument is out of range.
        BlockingIOError: If another process or thread is writing to `output_dir`.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    if storage_dtype not in (torch.float32, torch.float16):
        raise ValueError(f"storage_dtype must be torch.float32 or torch.float16, got {storage_dtype}")
    fingerprint = fingerprint or getattr(dataset, "_fingerprint", None)
    if fingerprint is None:
        raise ValueError(f"a {type(dataset).__name__} has no fingerprint: pass fingerprint=, or a datasets.Dataset")
    if len(dataset) == 0:
        raise ValueError("there is nothing to encode: got 0 rows")
    shards = split_rows(range(len(dataset)), shard_size, "shard_size")
    batches = [split_rows(rows, batch_size, "batch_size") for rows in shards]

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format_version": 2,
        "num_rows": len(dataset),
        "dataset": fingerprint,
        "model": model_fingerprint(model),
        "processor": processor_identity(processor),
        "hash_images": hash_images,
        "shard_size": shard_size,
        "storage_dtype": str(storage_dtype),
        "autocast_dtype": str(autocast_dtype),
    }
    source = ItemRows(dataset, processor, require_item_id=True, identify_files=True, hash_images=hash_images)
    model = in_eval_mode(model, device)
    with lock_folder(output_dir):
        claim_folder(output_dir, manifest)
        paths = [shard_path(output_dir, index) for index in range(len(shards))]
        finished = _read_finished(paths, shards, source, manifest)
        todo = [index for index in range(len(shards)) if index not in finished]
        encoded = encode_batches(
            model,
            source,
            [batch for index in todo for batch in batches[index]],
            num_workers=num_workers,
            show_progress=show_progress,
            autocast_dtype=autocast_dtype,
            on_error=on_error,
        )
        written = {}
        for index in todo:
            parts = [next(encoded) for _ in batches[index]]
            written[index] = write_shard(paths[index], parts, storage_dtype, manifest)

    headers = [header for _, header in sorted({**finished, **written}.items())]
    skipped = [fault for header in headers for fault in header.faults]
    if len(skipped) == len(dataset):
        raise ValueError(f"none of the {len(skipped)} rows could be encoded; the first: {skipped[0]}")
    item_ids = [item_id for header in headers for item_id in header.item_ids]
    notes = total_notes((header.notes for header in headers), item_ids)
    log_notes(notes, len(item_ids))
    resumed = sum(len(header.item_ids) for header in finished.values())
    return EncodingReport(output_dir, len(item_ids), resumed, skipped, notes)


def load_embeddings(output_dir: str | os.PathLike[str]) -> CatalogEmbeddings:
    """Load a finished `encode_catalog` folder into memory.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If shards are missing because encoding was interrupted, or do not hold what was written; run
            `encode_catalog` again.
    """
    output_dir = Path(output_dir)
    manifest = read_manifest(output_dir)
    shards = split_rows(range(manifest["num_rows"]), manifest["shard_size"], "shard_size")
    paths = [shard_path(output_dir, index) for index in range(len(shards))]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ValueError(
            f"{output_dir} is incomplete: {len(missing)} of {len(shards)} shards are missing ({missing[0]} first); "
            "run encode_catalog again to finish it"
        )
    loaded = []
    for path, rows in zip(paths, shards, strict=True):
        try:
            loaded.append(read_shard(path, rows, manifest))
        except DamagedShardError as error:
            raise ValueError(f"{error}; run encode_catalog again to encode it again") from error
    _warn_of_missing_checksums(output_dir, sum(not shard.has_checksum for shard in loaded))
    parts = [shard.embeds for shard in loaded if shard.header.item_ids]
    return CatalogEmbeddings(
        torch.cat(parts) if parts else torch.empty(0, 0),
        [item_id for shard in loaded for item_id in shard.header.item_ids],
        [fault for shard in loaded for fault in shard.header.faults],
    )


def _read_finished(
    paths: Sequence[Path], shards: Sequence[range], source: ItemRows, manifest: Mapping[str, Any]
) -> dict[int, ShardHeader]:
    """Read the headers of the shards that need not be encoded again, by number."""
    finished = {}
    num_unchecked = 0
    for index, (path, rows) in enumerate(zip(paths, shards, strict=True)):
        if not path.exists():
            continue
        try:
            shard = read_shard(path, rows, manifest)
        except DamagedShardError as error:
            logger.warning("%s; encoding it again", error)
            continue
        if shard.header.image_files != digest_image_files(source.image_files(rows)):
            logger.warning(
                "image files of rows %d to %d have changed: encoding %s again", rows[0], rows[-1], path.name
            )
            continue
        finished[index] = shard.header
        num_unchecked += not shard.has_checksum
    _warn_of_missing_checksums(paths[0].parent, num_unchecked)
    return finished


def _warn_of_missing_checksums(folder: Path, count: int) -> None:
    """Say that some shards could not be checked, if there are any."""
    if count:
        logger.warning(
            "%s: %d shards of an early version have no checksum, so a change to their content cannot be noticed",
            folder,
            count,
        )
