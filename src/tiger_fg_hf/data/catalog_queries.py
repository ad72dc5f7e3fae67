"""Queries synthesised for a whole catalog."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..catalog.record import to_record
from ..models.image_loading_tiger_fg import load_rgb_image
from .query_synthesis import QuerySynthesizer

_QUERY_JPEG_QUALITY = 95


def synthesize_queries(
    catalog: Dataset | PairedCatalog, synthesizer: QuerySynthesizer, *, seed: int
) -> list[dict[str, Any]]:
    """One query for each row: `{"item_id", "query_image"}`, the row's own or else a synthesised one as JPEG bytes.

    The same for the same seed.

    Raises:
        ValueError: an image cannot be read; row and item are named.
    """
    queries = []
    for row in range(len(catalog)):
        record = to_record(catalog[row])
        if record["query_image"] is not None:
            queries.append({name: record[name] for name in ("item_id", "query_image")})
            continue
        image = load_rgb_image(record["image"], name=f"row {row} (item {record['item_id']!r}), image")
        rng = np.random.default_rng(np.random.SeedSequence([seed, row]))
        buffer = io.BytesIO()
        synthesizer(image, box=record["box"], rng=rng).save(buffer, "JPEG", quality=_QUERY_JPEG_QUALITY)
        queries.append({"item_id": record["item_id"], "query_image": {"bytes": buffer.getvalue(), "path": None}})
    return queries
