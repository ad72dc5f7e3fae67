"""Collation of two listings of each product to one batch of tensors."""

from collections.abc import Sequence
from typing import Any

import torch

from .stable_id import stable_id


class TGQFormerCollator:
    """
    Turn pairs of a [`TGQFormerPairDataset`] into one batch.

    Args:
        processor: a `TGQFormerProcessor`.
    """

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Collate B pairs, of which a dataset may have made the first listing alone.

        Returns:
            - The processor's inputs of the listings, with `first_` and `second_` before their names.
            - `item_ids` `[B]`, long: equal for equal `item_id`, on every process.
            - `rows` `[B]`, long: rows of the catalog.

        Raises:
            ValueError: if there are no pairs, or the processor cannot use one.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, found none")
        batch: dict[str, torch.Tensor] = {}
        for place, side in zip(range(len(pairs[0]["images"])), ("first", "second"), strict=False):
            inputs = self.processor(
                images=[pair["images"][place] for pair in pairs],
                text=[pair["texts"][place] for pair in pairs],
                return_tensors="pt",
            )
            batch |= {f"{side}_{name}": value for name, value in inputs.items()}
        batch["item_ids"] = torch.tensor([stable_id(pair["item_id"]) for pair in pairs])
        batch["rows"] = torch.tensor([pair["row"] for pair in pairs])
        return batch
