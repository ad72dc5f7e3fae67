"""Benchmarks on disk: atomic writing, content digests, and the check of their backgrounds."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from ..data.clutter import ClutterBank


def check_pools(query_clutter: ClutterBank | None, item_clutter: ClutterBank | None) -> None:
    """Check that the backgrounds of queries and items are disjoint.

    Raises:
        ValueError: if the two pools share a photo.
    """
    if query_clutter is None or item_clutter is None:
        return
    queries = {bytes_digest(photo) for photo in query_clutter.pixels}
    shared = [index for index, photo in enumerate(item_clutter.pixels) if bytes_digest(photo) in queries]
    if shared:
        raise ValueError(
            f"query_clutter and item_clutter share {len(shared)} photos (item_clutter[{shared[0]}] is the first): a "
            "shared background would reveal the match. Take the photos from `clutter_pool`."
        )


def undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """Return `rows` with pictures as bytes."""
    for column in ("image", "query_image"):
        if column in rows.column_names:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


def content_digest(parts: Any) -> str:
    """Hash every cell of some datasets; pictures are hashed as bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for rows in parts:
        for row in undecoded(rows):
            cells = {
                name: bytes_digest(cell["bytes"]) if isinstance(cell, dict) else cell for name, cell in row.items()
            }
            digest.update(json.dumps(cells, sort_keys=True).encode())
    return digest.hexdigest()


def bytes_digest(data: Any) -> str:
    """Hash bytes or an array."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_written(folder: Path, meta_file: str, made_of: Mapping[str, Any]) -> bool:
    """Return whether `folder` holds the benchmark that was built from `made_of`, according to its `meta_file`.

    Raises:
        ValueError: if it holds another benchmark; the message names the differences.
        FileExistsError: if it holds something else.
    """
    if (folder / meta_file).is_file():
        meta = json.loads((folder / meta_file).read_text())
        differing = sorted(name for name, value in made_of.items() if meta.get(name) != value)
        if differing:
            raise ValueError(
                f"'{folder}' holds a benchmark that differs in {', '.join(differing)}; choose another folder."
            )
        return True
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"'{folder}' holds something other than a benchmark; choose another folder.")
    return False


@contextmanager
def write_atomically(folder: Path, meta_file: str) -> Iterator[Path]:
    """Yield a folder to fill, and rename it to `folder` at the end, unless another process was faster."""
    partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
        if not (folder / meta_file).is_file():
            raise


def write_parts(
    folder: Path,
    meta_file: str,
    made_of: Mapping[str, Any],
    write: Callable[[Path], tuple[Mapping[str, Any], Iterable[datasets.Dataset]]],
) -> None:
    """Write a benchmark to `folder` atomically.

    Args:
        folder: folder of the benchmark.
        meta_file: name of the file for metadata.
        made_of: what the benchmark is built from.
        write: writes the datasets to a folder; returns further metadata and the datasets.

    Raises:
        ValueError: if another process has built another benchmark there.
    """
    with write_atomically(folder, meta_file) as partial:
        counts, parts = write(partial)
        meta = {**made_of, **counts, "content": content_digest(parts)}
        (partial / meta_file).write_text(json.dumps(meta, indent=2))
    is_written(folder, meta_file, made_of)


def read_parts(
    folder: Path, meta_file: str, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, datasets.Dataset]]:
    """Read the metadata of a benchmark and its datasets by name; pictures stay undecoded.

    Raises:
        FileNotFoundError: if there is none in `folder`.
        ValueError: if its content has changed.
    """
    if not (folder / meta_file).is_file():
        raise FileNotFoundError(f"'{folder}' holds no complete benchmark: it has no {meta_file}.")
    meta = json.loads((folder / meta_file).read_text())
    parts = {name: undecoded(datasets.load_from_disk(str(folder / name))) for name in names}
    if content_digest(parts.values()) != meta["content"]:
        raise ValueError(f"The content of '{folder}' has changed: its digest differs from the one in {meta_file}.")
    return meta, parts
