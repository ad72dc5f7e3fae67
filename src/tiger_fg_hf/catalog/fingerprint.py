"""Identify a catalog by its content, wherever it is stored."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset

from .image_files import image_path
from .pairing import PairedCatalog
from .record import IMAGE_COLUMNS

_FINGERPRINT_IMAGES = 64


def catalog_fingerprint(dataset: Dataset | IterableDataset | PairedCatalog) -> str:
    """Hash the content of a catalog: equal in every process and on every machine that reads the same rows.

    All text is hashed, and the images of up to 64 rows, spread evenly: embedded images by content, image files by name
    and size. (Paths and modification times differ between copies of a catalog.) For a streamed catalog, only the first
    64 rows are hashed.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(value: Any) -> None:
        digest.update(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode())

    if isinstance(dataset, PairedCatalog):
        add([catalog_fingerprint(dataset.queries), catalog_fingerprint(dataset.items)])
        return digest.hexdigest()
    names = list(dataset.column_names)
    images = [name for name in names if name in IMAGE_COLUMNS]
    if isinstance(dataset, IterableDataset):
        add(names)
        for row in dataset.take(_FINGERPRINT_IMAGES):
            add({name: value for name, value in row.items() if name not in images})
            add([_image_identity(row[name]) for name in images])
        return digest.hexdigest()
    add([names, len(dataset)])
    for batch in dataset.select_columns([name for name in names if name not in images]).iter(batch_size=1000):
        add(batch)
    for index in sorted({i * len(dataset) // _FINGERPRINT_IMAGES for i in range(_FINGERPRINT_IMAGES)}):
        if index < len(dataset):
            row = dataset[index]
            add([_image_identity(row[name]) for name in images])
    return digest.hexdigest()


def _image_identity(image: Any) -> Any:
    """Identify an undecoded image on any machine: hash of its bytes, or name and size of its file."""
    path = image_path(image)
    if path is not None:
        return [Path(path).name, os.path.getsize(path) if os.path.isfile(path) else None]
    # Streamed datasets return columns of plain bytes as they are.
    data = image if isinstance(image, bytes) else (image or {}).get("bytes")
    return None if data is None else hashlib.blake2b(data, digest_size=16).hexdigest()
