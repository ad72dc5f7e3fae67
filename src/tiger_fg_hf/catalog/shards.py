"""A catalog encoded to shards on disk: streamed, resumable, checked against what it was begun with."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .encode import EncodedBatch, ItemRows, Processor, Records, SkippedItem, encode_batches, evaluating, split_rows

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class CatalogReport:
    """What `encode_catalog` left in `output_dir`, over all runs.

    Attributes:
        output_dir: the folder, for `load_embeddings`.
        encoded: rows that have an embedding.
        resumed: of these, rows that an earlier run had encoded.
        skipped: rows that have none (`on_error="skip"` only).
    """

    output_dir: Path
    encoded: int
    resumed: int
    skipped: list[SkippedItem] = field(default_factory=list)


@dataclass(frozen=True)
class CatalogEmbeddings:
    """An encoded catalog: `embeds` [N, D] in the stored dtype, `item_ids` [N] in the same order, `skipped` rows."""

    embeds: torch.Tensor
    item_ids: list[str]
    skipped: list[SkippedItem]


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
    batch_size: int = 32,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    show_progress: bool = False,
    autocast_dtype: torch.dtype | None = None,
) -> CatalogReport:
    """Encodes a large catalog to shards on disk; run again after an interruption, it carries on where it stopped.

    `output_dir` holds `manifest.json` and `shard-00000.safetensors`, ...: one tensor `embeds` [n, D] each, its item
    ids in the header. A shard appears whole or not at all. Memory holds one shard. Batches do not cross shards, so
    with one `batch_size` an interrupted run and an uninterrupted one give the same numbers.

    Args:
        model, processor: as in `encode_items`.
        dataset: map-style rows as in `encode_items`, with `item_id` strings. (A `datasets.Dataset` is memory-mapped.)
        output_dir: made if absent.
        shard_size: rows per shard.
        storage_dtype: `torch.float32`, or `torch.float16` for half the space.
        on_error: what to do with a row that cannot be processed: `"raise"`, or `"skip"`, which logs it, leaves it out
            and lists it in the report and in `load_embeddings`. A run that raised may be resumed with `"skip"`.
        fingerprint: says what the rows are. Default: the fingerprint of a `datasets.Dataset`; other sequences need it
            (`tiger_fg_hf.catalog.source.catalog_fingerprint`). Image files that change under unchanged paths change
            neither.
        batch_size, device, num_workers, show_progress, autocast_dtype: as in `encode_queries`.

    Raises:
        ValueError: `output_dir` was begun with other rows, weights, preprocessing or options (the error says which);
            a row could not be processed (it is named); an argument is out of range.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    if storage_dtype not in (torch.float32, torch.float16):
        raise ValueError(f"storage_dtype must be torch.float32 or torch.float16, got {storage_dtype}")
    fingerprint = fingerprint or getattr(dataset, "_fingerprint", None)
    if fingerprint is None:
        raise ValueError(f"a {type(dataset).__name__} has no fingerprint: pass fingerprint=, or a datasets.Dataset")
    shards = [  # each a list of batches
        split_rows(rows, batch_size, "batch_size")
        for rows in split_rows(range(len(dataset)), shard_size, "shard_size")
    ]

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format_version": 1,
        "num_rows": len(dataset),
        "dataset": fingerprint,
        "model": _model_fingerprint(model),
        "processor": _processor_fingerprint(processor),
        "shard_size": shard_size,
        "storage_dtype": str(storage_dtype),
        "autocast_dtype": str(autocast_dtype),
    }
    _claim(output_dir, manifest)

    paths = [_shard_path(output_dir, index) for index in range(len(shards))]
    done = [path.exists() for path in paths]
    todo = [(path, batches) for path, batches, is_done in zip(paths, shards, done, strict=True) if not is_done]
    with evaluating(model, device):
        encoded = encode_batches(
            model,
            ItemRows(dataset, processor, require_item_id=True),
            [batch for _, batches in todo for batch in batches],
            num_workers=num_workers,
            show_progress=show_progress,
            autocast_dtype=autocast_dtype,
            on_error=on_error,
        )
        for path, batches in todo:
            _write_shard(path, [next(encoded) for _ in batches], storage_dtype)

    sizes, skipped = [], []
    for path in paths:
        item_ids, missed = _read_header(path)
        sizes.append(len(item_ids))
        skipped += missed
    resumed = sum(size for size, was_done in zip(sizes, done, strict=True) if was_done)
    return CatalogReport(output_dir, sum(sizes), resumed, skipped)


def load_embeddings(output_dir: str | os.PathLike[str]) -> CatalogEmbeddings:
    """Loads a finished `encode_catalog` folder into memory.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: shards are missing, because encoding was interrupted: run `encode_catalog` again.
    """
    output_dir = Path(output_dir)
    manifest_path = output_dir / _MANIFEST
    if not manifest_path.exists():
        raise FileNotFoundError(f"{output_dir} holds no encoded catalog: there is no {_MANIFEST}")
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    count = -(-manifest["num_rows"] // manifest["shard_size"])
    paths = [_shard_path(output_dir, index) for index in range(count)]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ValueError(
            f"{output_dir} is incomplete: {len(missing)} of {count} shards are missing ({missing[0]} first); "
            "run encode_catalog again to finish it"
        )
    item_ids: list[str] = []
    skipped: list[SkippedItem] = []
    parts = []
    for path in paths:
        ids, missed = _read_header(path)
        item_ids += ids
        skipped += missed
        if ids:
            with safe_open(path, framework="pt") as shard:
                parts.append(shard.get_tensor("embeds"))
    return CatalogEmbeddings(torch.cat(parts) if parts else torch.empty(0, 0), item_ids, skipped)


def _shard_path(output_dir: Path, index: int) -> Path:
    return output_dir / f"shard-{index:05d}.safetensors"


def _write_shard(path: Path, parts: list[EncodedBatch], dtype: torch.dtype) -> None:
    """Writes beside `path` and renames, so that a killed run leaves no half shard."""
    embeds = [part.embeds for part in parts if part.item_ids]
    metadata = {
        "item_ids": json.dumps([item_id for part in parts for item_id in part.item_ids], ensure_ascii=False),
        "skipped": json.dumps([asdict(failure) for part in parts for failure in part.failed], ensure_ascii=False),
    }
    temporary = path.with_suffix(".tmp")
    tensor = torch.cat(embeds) if embeds else torch.empty(0, 0)
    save_file({"embeds": tensor.to(dtype).contiguous()}, temporary, metadata=metadata)
    _replace(temporary, path)


def _replace(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())  # else a power cut may keep the name and lose the bytes
    os.replace(temporary, path)


def _read_header(path: Path) -> tuple[list[str], list[SkippedItem]]:
    with safe_open(path, framework="pt") as shard:
        metadata = shard.metadata()
    return json.loads(metadata["item_ids"]), [SkippedItem(**entry) for entry in json.loads(metadata["skipped"])]


def _claim(output_dir: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest, or checks that the one already there is the same."""
    path = output_dir / _MANIFEST
    if not path.exists():
        if any(output_dir.glob("shard-*.safetensors")):
            raise ValueError(
                f"{output_dir} holds shards but no {_MANIFEST}: they cannot be trusted; use an empty folder"
            )
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _replace(temporary, path)
        return
    begun = json.loads(path.read_text(encoding="utf-8"))
    names = begun.keys() | manifest.keys()
    differing = sorted(name for name in names if begun.get(name) != manifest.get(name))
    if differing:
        changes = "; ".join(f"{name} was {begun.get(name)!r}, is {manifest.get(name)!r}" for name in differing)
        raise ValueError(f"cannot resume {output_dir}: {changes}. Use another folder, or what it was begun with.")


def _model_fingerprint(model: torch.nn.Module) -> str:
    """Hash of the architecture's name, every weight and the configuration."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    config = getattr(model, "config", None)
    if config is not None:
        digest.update(json.dumps(_without_provenance(config.to_dict()), sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _without_provenance(settings: Any) -> Any:
    """A configuration without what says how it was saved and loaded rather than what it computes, at every level."""
    if not isinstance(settings, dict):
        return settings
    dropped = ("_name_or_path", "dtype", "transformers_version")
    return {name: _without_provenance(value) for name, value in settings.items() if name not in dropped}


def _processor_fingerprint(processor: Any) -> str:
    """Hash of the files the processor saves: image settings, template, vocabulary."""
    digest = hashlib.sha256(type(processor).__name__.encode())
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
