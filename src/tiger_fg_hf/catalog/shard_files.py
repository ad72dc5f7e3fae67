"""Shards: the files that hold an encoded catalog."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .encode import EncodedBatch
from .faults import RowFault
from .manifest import replace_safely


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


def shard_path(folder: Path, index: int) -> Path:
    """Return the path of a shard."""
    return folder / f"shard-{index:05d}.safetensors"


def write_shard(path: Path, batches: Sequence[EncodedBatch], dtype: torch.dtype) -> None:
    """Write a shard; the file appears complete or not at all."""
    parts = [batch.embeds for batch in batches if batch.item_ids]
    embeds = torch.cat(parts) if parts else torch.empty(0, 0)
    notes: Counter[str] = Counter()
    for batch in batches:
        notes.update(batch.notes)
    header = {
        "item_ids": [item_id for batch in batches for item_id in batch.item_ids],
        "faults": [asdict(fault) for batch in batches for fault in batch.faults],
        "notes": notes,
        "image_files": digest_image_files([identity for batch in batches for identity in batch.image_files]),
    }
    temporary = path.with_suffix(".tmp")
    metadata = {name: json.dumps(value, ensure_ascii=False) for name, value in header.items()}
    save_file({"embeds": embeds.to(dtype).contiguous()}, temporary, metadata=metadata)
    replace_safely(temporary, path)


def read_header(path: Path) -> ShardHeader:
    """Read a shard without its embeddings."""
    with safe_open(path, framework="pt") as shard:
        header = {name: json.loads(value) for name, value in shard.metadata().items()}
    return ShardHeader(**{**header, "faults": [RowFault(**fault) for fault in header["faults"]]})


def read_embeds(path: Path) -> torch.Tensor:
    """Read the embeddings of a shard, `[n, D]`."""
    with safe_open(path, framework="pt") as shard:
        return shard.get_tensor("embeds")


def digest_image_files(identities: Sequence[str]) -> str:
    """Hash the identities of the image files of a shard's rows; see `file_identity`."""
    return hashlib.sha256(json.dumps(identities).encode()).hexdigest()
