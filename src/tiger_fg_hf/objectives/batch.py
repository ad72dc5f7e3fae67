"""Rows of a training batch that holds each distinct item photo once."""

from collections.abc import Mapping
from typing import Any

import torch

# Tensors with one entry per distinct photo rather than per pair.
_PER_PHOTO = ("pixel_values",)


def select_rows(batch: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """Return some pairs of a batch as a smaller batch, with the photos that they need.

    Args:
        batch: output of a collator. With `image_index` `[B]`, `pixel_values` `[U, ...]` holds distinct photos;
            otherwise it has one photo per pair. Columns that are not tensors are kept as they are.
        rows: the pairs to return.

    Example:
        ```python
        >>> batch = {"image_index": torch.tensor([0, 0, 1]), "pixel_values": torch.tensor([[0.1], [0.2]])}
        >>> select_rows(batch, slice(2, 3))
        {'image_index': tensor([0]), 'pixel_values': tensor([[0.2000]])}

        ```
    """
    chosen = {
        name: value[rows] if torch.is_tensor(value) and name not in _PER_PHOTO else value
        for name, value in batch.items()
    }
    if "image_index" in batch:
        photos, chosen["image_index"] = batch["image_index"][rows].unique(return_inverse=True)
    else:
        photos = rows
    return chosen | {name: batch[name][photos] for name in _PER_PHOTO if name in batch}
