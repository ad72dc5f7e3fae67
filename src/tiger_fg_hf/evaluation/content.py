"""What a benchmark on disk holds, byte for byte, and the backgrounds it may be made of."""

import hashlib
import json
from typing import Any

import datasets

from ..data.synthesis import ClutterBank


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
