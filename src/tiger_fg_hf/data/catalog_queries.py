"""Query photos of a whole catalog, synthesized where it has none."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset

from ..catalog.pairing import PairedCatalog
from ..catalog.photos import load_photo
from ..catalog.record import to_record
from ..synthetic.jpeg import encode_jpeg
from .query_synthesis import QuerySynthesizer

_QUERY_JPEG_QUALITY = 95


def synthesize_queries(
    catalog: Dataset | PairedCatalog, synthesizer: QuerySynthesizer, *, seed: int
) -> list[dict[str, Any]]:
    """Return one query for each row: its own `query_image`, or else a synthesized one as JPEG bytes.

    Args:
        catalog: From `load_catalog` or `pair_queries`, not streamed.
        synthesizer: Makes the queries of rows without `query_image`.
        seed: Seed of the synthesis; the same seed gives the same queries.

    Returns:
        Rows of `item_id` and `query_image`.

    Raises:
        ValueError: If an image cannot be read; the message names row and item.
    """
    queries = []
    for row in range(len(catalog)):
        record = to_record(catalog[row])
        photo = record["query_image"]
        if photo is None:
            name = f"row {row} (item {record['item_id']!r}), image"
            image, box = load_photo(record["image"], record["box"], name=name)
            rng = np.random.default_rng(np.random.SeedSequence([seed, row]))
            query = synthesizer(image, box=box, rng=rng)
            photo = {"bytes": encode_jpeg(query, _QUERY_JPEG_QUALITY), "path": None}
        queries.append({"item_id": record["item_id"], "query_image": photo})
    return queries
