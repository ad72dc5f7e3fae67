"""Collation of TGQ-Former's pairs into one batch of tensors."""

from collections.abc import Sequence
from typing import Any

import torch

from .stable_id import stable_id


class TGQFormerCollator:
    """Turn pairs of a `TGQFormerPairDataset` into one batch.

    Args:
        processor: A `TGQFormerProcessor`.
    """

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate B pairs.

        Args:
            pairs: Items of the dataset, with two listings each, or all with the first listing only.

        Returns:
            - The processor's inputs of the listings, with `first_` and `second_` before their names.
            - `item_ids` `[B]`, long: Equal for equal `item_id`, in every process.
            - `rows` `[B]`, long: Rows of the catalog.

        Raises:
            ValueError: If there are no pairs, or the processor cannot use one.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, found none")
        batch: dict[str, torch.Tensor] = {}
        for place, side in enumerate(("first", "second")[: len(pairs[0]["images"])]):
            inputs = self.processor(
                images=[pair["images"][place] for pair in pairs],
                text=[pair["texts"][place] for pair in pairs],
                return_tensors="pt",
            )
            batch |= {f"{side}_{name}": value for name, value in inputs.items()}
        batch["item_ids"] = torch.tensor([stable_id(pair["item_id"]) for pair in pairs])
        batch["rows"] = torch.tensor([pair["row"] for pair in pairs])
        return batch
