"""Rows of a training batch that holds each distinct item photo once."""

from collections.abc import Mapping
from typing import Any

import torch

# Columns with one entry per distinct picture rather than per pair, and the columns that number them.
_INDEXES = {"pixel_values": "image_index", "close_pixel_values": "close_index"}


def select_rows(batch: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """Return some pairs of a batch as a smaller batch, with the pictures that they need.

    Args:
        batch: output of a collator. With `image_index` `[B]`, `pixel_values` `[U, ...]` holds distinct photos;
            otherwise it has one photo per pair. `close_index` `[B]` and `close_pixel_values` `[C, ...]` are the same
            for close views; -1 stands for none. Columns that are not tensors are kept as they are.
        rows: the pairs to return.

    Example:
        ```python
        >>> batch = {"image_index": torch.tensor([0, 0, 1]), "pixel_values": torch.tensor([[0.1], [0.2]])}
        >>> select_rows(batch, slice(2, 3))
        {'image_index': tensor([0]), 'pixel_values': tensor([[0.2000]])}

        ```
    """
    chosen = {name: value[rows] if torch.is_tensor(value) else value for name, value in batch.items()}
    for pictures, index in _INDEXES.items():
        if index in batch:
            numbers = chosen[index]
            used, places = numbers[numbers >= 0].unique(return_inverse=True)
            chosen[index] = numbers.masked_scatter(numbers >= 0, places)
            if pictures in batch:
                chosen[pictures] = batch[pictures][used]
    return chosen
