"""Batches whose item pictures are kept once: siblings of one mosaic share theirs."""

from collections.abc import Mapping
from typing import Any

import torch

# Tensors with one entry per distinct picture, not per pair.
_PER_PICTURE = ("pixel_values",)


def select_rows(batch: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """
    The pairs `rows` of a batch as a batch of their own, with the pictures that they need.

    Args:
        batch: of `TigerFGCollator`; with `image_index` `[B]`, `pixel_values` `[U, ...]` holds distinct pictures.
    """
    chosen = {
        name: value[rows] if torch.is_tensor(value) and name not in _PER_PICTURE else value
        for name, value in batch.items()
    }
    if "image_index" in batch:
        pictures, chosen["image_index"] = batch["image_index"][rows].unique(return_inverse=True)
    else:
        pictures = rows
    return chosen | {name: batch[name][pictures] for name in _PER_PICTURE if name in batch}
