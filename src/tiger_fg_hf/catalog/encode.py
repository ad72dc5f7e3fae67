"""From images and catalog rows to embeddings: in memory, or streamed to resumable shards on disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import datasets
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging

logger = logging.get_logger(__name__)

Records: TypeAlias = Sequence[Mapping[str, Any]] | datasets.Dataset
Processor: TypeAlias = Callable[..., Mapping[str, torch.Tensor]]

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SkippedItem:
    """A catalog row that could not be processed, and why."""

    row: int
    item_id: str | None
    error: str

    def __str__(self) -> str:
        return f"row {self.row} (item_id {self.item_id!r}): {self.error}"


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
        ValueError: no images, or an image could not be processed; its row is named.
    """
    source = _QueryRows(images, processor, item_ids)
    with _evaluating(model, device):
        embeds, _ = _encode_all(model, source, batch_size, num_workers, show_progress, autocast_dtype, grounding=False)
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
        model: the item tower: `model(**processed)` with `.embeds` [B, D] and `.grounding` [B, h, w].
        processor: `processor(images=[...], text=[record, ...], return_tensors="pt")`; runs in the workers.
        records: a `datasets.Dataset` or a list of dicts, at least one, with the column `image`. A row without it is
            the record that the processor renders: `title`, `category`, `attributes`, or what its template names.
        return_grounding: also return where the model looked.
        batch_size, device, num_workers, show_progress, autocast_dtype: as in `encode_queries`.

    Returns:
        embeds [N, D] float32 on the CPU, row i for `records[i]`; with `return_grounding` also a list of N maps [h, w]
        float32, each summing to 1.

    Raises:
        ValueError: no records, or a row could not be processed; it is named with its item_id.
    """
    source = _ItemRows(records, processor)
    with _evaluating(model, device):
        embeds, groundings = _encode_all(
            model, source, batch_size, num_workers, show_progress, autocast_dtype, grounding=return_grounding
        )
    return (embeds, groundings) if return_grounding else embeds


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
        fingerprint: says what the rows are. Default: the fingerprint of a `datasets.Dataset`; other sequences need it.
            Image files that change under unchanged paths change neither.
        batch_size, device, num_workers, show_progress, autocast_dtype: as in `encode_queries`.

    Raises:
        ValueError: `output_dir` was begun with other rows, weights, preprocessing or options (the error says which);
            a row could not be processed (it is named); an argument is out of range.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size}")
    if storage_dtype not in (torch.float32, torch.float16):
        raise ValueError(f"storage_dtype must be torch.float32 or torch.float16, got {storage_dtype}")
    fingerprint = fingerprint or getattr(dataset, "_fingerprint", None)
    if fingerprint is None:
        raise ValueError(f"a {type(dataset).__name__} has no fingerprint: pass fingerprint=, or a datasets.Dataset")

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    num_rows = len(dataset)
    manifest = {
        "format_version": 1,
        "num_rows": num_rows,
        "dataset": fingerprint,
        "model": _model_fingerprint(model),
        "processor": _processor_fingerprint(processor),
        "shard_size": shard_size,
        "storage_dtype": str(storage_dtype),
        "autocast_dtype": str(autocast_dtype),
    }
    _claim(output_dir, manifest)

    shards = [range(first, min(first + shard_size, num_rows)) for first in range(0, num_rows, shard_size)]
    done = [_shard_path(output_dir, index).exists() for index in range(len(shards))]
    todo = [index for index in range(len(shards)) if not done[index]]
    batches = [batch for index in todo for batch in _batches(shards[index], batch_size)]

    source = _ItemRows(dataset, processor, require_item_id=True)
    with _evaluating(model, device):
        encoded = _encode(
            model, source, batches, num_workers, show_progress, autocast_dtype, on_error=on_error, grounding=False
        )
        for index in todo:
            parts = [next(encoded) for _ in _batches(shards[index], batch_size)]
            _write_shard(_shard_path(output_dir, index), parts, storage_dtype)

    sizes, skipped = [], []
    for index in range(len(shards)):
        item_ids, missed = _read_header(_shard_path(output_dir, index))
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


# --- rows to batches -------------------------------------------------------------------------------------------------


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
        good, failed = [], []
        for index in indices:
            single = self.__getitems__([index])
            good += single.rows
            failed += single.failed
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
    def __init__(
        self,
        images: Sequence[Any],
        processor: Processor,
        item_ids: Sequence[str] | None,
    ):
        super().__init__(images, processor)
        if item_ids is not None and len(item_ids) != len(images):
            raise ValueError(f"item_ids must name every image, got {len(item_ids)} for {len(images)} images")
        self.item_ids = item_ids

    def process(self, rows: list[Any]) -> Mapping[str, torch.Tensor]:
        return self.processor(images=rows, return_tensors="pt")

    def item_id(self, index: int, row: Any) -> str | None:
        return None if self.item_ids is None else self.item_ids[index]


class _ItemRows(_Rows):
    def __init__(
        self,
        records: Records,
        processor: Processor,
        require_item_id: bool = False,
    ):
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
        return self.processor(images=[row["image"] for row in rows], text=texts, return_tensors="pt")

    def item_id(self, index: int, row: Any) -> str | None:
        item_id = row.get("item_id")
        if self.require_item_id and not isinstance(item_id, str):
            raise ValueError(f"item_id must be a string, got {item_id!r}")
        return item_id


def _batches(rows: range, batch_size: int) -> list[range]:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]


def _as_is(batch: _Processed) -> _Processed:
    return batch


# --- batches to embeddings -------------------------------------------------------------------------------------------


class _Encoded(NamedTuple):
    rows: list[int]
    item_ids: list[str | None]
    embeds: torch.Tensor  # [rows, D]
    grounding: torch.Tensor | None
    failed: list[SkippedItem]


@contextmanager
def _evaluating(model: torch.nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """Eval mode; afterwards each submodule returns to its own state (frozen parts may differ from the rest)."""
    if device is not None:
        model.to(device)
    states = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in states.items():
            module.training = training


def _encode(
    model: torch.nn.Module,
    source: _Rows,
    batches: list[range],
    num_workers: int,
    show_progress: bool,
    autocast_dtype: torch.dtype | None,
    *,
    on_error: str,
    grounding: bool,
) -> Iterator[_Encoded]:
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
                    torch.inference_mode(),
                    torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None),
                ):
                    output = model(**inputs)
                embeds = output.embeds.float().cpu()
                if grounding:
                    maps = output.grounding.float().cpu()
            progress.update(len(rows) + len(failed))
            yield _Encoded(rows, item_ids, embeds, maps, failed)


def _encode_all(
    model: torch.nn.Module,
    source: _Rows,
    batch_size: int,
    num_workers: int,
    show_progress: bool,
    autocast_dtype: torch.dtype | None,
    *,
    grounding: bool,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    if len(source) == 0:
        raise ValueError("there is nothing to encode: got 0 rows")
    batches = _batches(range(len(source)), batch_size)
    embeds = torch.empty(0)
    groundings: list[torch.Tensor] = []
    encoded = _encode(
        model, source, batches, num_workers, show_progress, autocast_dtype, on_error="raise", grounding=grounding
    )
    for batch in encoded:
        if not len(embeds):
            embeds = torch.empty(len(source), batch.embeds.shape[1])
        embeds[batch.rows[0] : batch.rows[-1] + 1] = batch.embeds
        if batch.grounding is not None:
            groundings += batch.grounding.clone().unbind(0)  # an inference tensor allows no later in-place change
    return embeds, groundings


# --- shards ----------------------------------------------------------------------------------------------------------


def _shard_path(output_dir: Path, index: int) -> Path:
    return output_dir / f"shard-{index:05d}.safetensors"


def _write_shard(path: Path, parts: list[_Encoded], dtype: torch.dtype) -> None:
    """Writes beside `path` and renames, so that a killed run leaves no half shard."""
    embeds = [part.embeds for part in parts if part.rows]
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
