"""Shards: the files that hold an encoded catalog."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .encode import EncodedBatch
from .faults import RowFault
from .manifest import MANIFEST, replace_safely

_CHECKSUM = "checksum"


class DamagedShardError(ValueError):
    """A shard that does not hold what was written."""


class ShardHeader(NamedTuple):
    """Everything in a shard but the embeddings.

    Attributes:
        item_ids: Ids of the rows that have an embedding, in order.
        faults: Rows without an embedding.
        notes: Counts of oddities; see `count_notes`.
        image_files: Hash of the identities of the image files; see `digest_image_files`.
    """

    item_ids: list[str]
    faults: list[RowFault]
    notes: dict[str, int]
    image_files: str


_KEYS = {*ShardHeader._fields, _CHECKSUM}


class Shard(NamedTuple):
    """The content of a shard.

    Attributes:
        header: Everything but the embeddings.
        embeds: `[n, D]` in the stored data type.
        has_checksum: Whether the content was checked. Shards of early versions have no checksum.
    """

    header: ShardHeader
    embeds: torch.Tensor
    has_checksum: bool


def shard_path(folder: Path, index: int) -> Path:
    """Return the path of a shard."""
    return folder / f"shard-{index:05d}.safetensors"


def write_shard(
    path: Path, batches: Sequence[EncodedBatch], dtype: torch.dtype, manifest: Mapping[str, Any]
) -> ShardHeader:
    """Write a shard of the folder with this manifest; the file appears complete or not at all."""
    parts = [batch.embeds for batch in batches if batch.item_ids]
    embeds = (torch.cat(parts) if parts else torch.empty(0, 0)).to(dtype).contiguous()
    notes: Counter[str] = Counter()
    for batch in batches:
        notes.update(batch.notes)
    header = ShardHeader(
        item_ids=[item_id for batch in batches for item_id in batch.item_ids],  # type: ignore[misc]  # never None
        faults=[fault for batch in batches for fault in batch.faults],
        notes=notes,
        image_files=digest_image_files([identity for batch in batches for identity in batch.image_files]),
    )
    temporary = path.with_suffix(".tmp")
    values = {**header._asdict(), "faults": [asdict(fault) for fault in header.faults]}
    metadata = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    metadata[_CHECKSUM] = _checksum(path.name, manifest, metadata, embeds)
    save_file({"embeds": embeds}, temporary, metadata=metadata)
    replace_safely(temporary, path)
    return header


def read_shard(path: Path, rows: range, manifest: Mapping[str, Any]) -> Shard:
    """Read the shard of these rows from the folder with this manifest, and check it.

    Raises:
        DamagedShardError: If the shard is cut short, its content was changed, or it belongs elsewhere.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata, embeds = dict(file.metadata() or {}), file.get_tensor("embeds")
    except SafetensorError as error:
        raise DamagedShardError(f"{path} cannot be read: {error}") from error
    if metadata.keys() != _KEYS and metadata.keys() != _KEYS - {_CHECKSUM}:
        raise DamagedShardError(f"{path} is damaged: its header has the keys {', '.join(sorted(metadata))}")
    checksum = metadata.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(path.name, manifest, metadata, embeds):
        raise DamagedShardError(
            f"{path} does not match its checksum: it is damaged, or it belongs to another place or another {MANIFEST}"
        )
    try:
        values = {name: json.loads(value) for name, value in metadata.items()}
        header = ShardHeader(**{**values, "faults": [RowFault(**fault) for fault in values["faults"]]})
        num_items, num_rows = len(header.item_ids), len(header.item_ids) + len(header.faults)
    except (TypeError, ValueError) as error:
        raise DamagedShardError(f"{path} is damaged: its header cannot be read: {error}") from error
    if embeds.dim() != 2 or len(embeds) != num_items:
        raise DamagedShardError(f"{path} is damaged: it has {num_items} item ids and embeddings {tuple(embeds.shape)}")
    if num_rows != len(rows):
        raise DamagedShardError(f"{path} is damaged: it has {num_rows} rows, expected {len(rows)}")
    return Shard(header, embeds, has_checksum=checksum is not None)


def _checksum(name: str, manifest: Mapping[str, Any], metadata: Mapping[str, str], embeds: torch.Tensor) -> str:
    """Hash the content of a shard, its name, and the manifest of its folder."""
    described = [name, dict(manifest), dict(metadata), str(embeds.dtype), list(embeds.shape)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(embeds.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def digest_image_files(identities: Sequence[str]) -> str:
    """Hash the identities of the image files of a shard's rows; see `file_identity`."""
    return hashlib.sha256(json.dumps(identities).encode()).hexdigest()
