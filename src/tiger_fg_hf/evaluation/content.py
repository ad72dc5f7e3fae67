"""Benchmarks on disk: written whole or not at all, read as they were written, and the backgrounds they are made of."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from ..data.clutter import ClutterBank


def check_pools(query_clutter: ClutterBank | None, item_clutter: ClutterBank | None) -> None:
    """
    Raises:
        ValueError: the two pools share a photo.
    """
    if query_clutter is None or item_clutter is None:
        return
    queries = {bytes_digest(photo) for photo in query_clutter.pixels}
    shared = [index for index, photo in enumerate(item_clutter.pixels) if bytes_digest(photo) in queries]
    if shared:
        raise ValueError(
            f"query_clutter and item_clutter share {len(shared)} photos (item_clutter[{shared[0]}] is the first): a "
            "background that both show would give a match away. Take them from `clutter_pool`."
        )


def undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """`rows` whose pictures stay bytes."""
    for column in ("image", "query_image"):
        if column in rows.column_names:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


def content_digest(parts: Any) -> str:
    """Hash of every cell of some datasets, pictures by their bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for rows in parts:
        for row in undecoded(rows):
            cells = {
                name: bytes_digest(cell["bytes"]) if isinstance(cell, dict) else cell for name, cell in row.items()
            }
            digest.update(json.dumps(cells, sort_keys=True).encode())
    return digest.hexdigest()


def bytes_digest(data: Any) -> str:
    """Hash of bytes, or of an array's."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_written(folder: Path, meta_file: str, made_of: Mapping[str, Any]) -> bool:
    """
    Whether `folder` holds the benchmark that is made of this, as its `meta_file` tells.

    Raises:
        ValueError: it holds another benchmark; what differs is named.
        FileExistsError: it holds something else.
    """
    if (folder / meta_file).is_file():
        found = json.loads((folder / meta_file).read_text())
        differing = sorted(name for name, value in made_of.items() if found.get(name) != value)
        if differing:
            raise ValueError(
                f"'{folder}' holds a benchmark that differs in {', '.join(differing)}; choose another folder."
            )
        return True
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"'{folder}' holds something that is no benchmark; choose another folder.")
    return False


@contextmanager
def written_whole(folder: Path, meta_file: str) -> Iterator[Path]:
    """A folder to write to, renamed to `folder` in the end; one that another process was faster with stays."""
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


def read_parts(
    folder: Path, meta_file: str, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, datasets.Dataset]]:
    """
    The meta data of a benchmark and its datasets by name, pictures undecoded.

    Raises:
        FileNotFoundError: there is none in `folder`.
        ValueError: it is not what was written there.
    """
    if not (folder / meta_file).is_file():
        raise FileNotFoundError(f"'{folder}' holds no complete benchmark: it has no {meta_file}.")
    meta = json.loads((folder / meta_file).read_text())
    parts = {name: undecoded(datasets.load_from_disk(str(folder / name))) for name in names}
    if content_digest(parts.values()) != meta["content"]:
        raise ValueError(
            f"'{folder}' is not what was written there: its content has another digest than {meta_file} says."
        )
    return meta, parts
