"""The TGQ-Former student: the model's forward pass in the form that training needs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

# Columns of a batch: one listing of each pair, then the other.
SIDES = ("first", "second")


class TGQFormerStudent(nn.Module):
    """
    A [`TGQFormerModel`], or its `peft` wrapper, as training runs it: both listings of every pair in one forward.

    Args:
        model: what is saved and used afterwards.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """
        Args:
            batch: inputs of the model with `first_` and `second_` before their names, `[b, ...]` each; what else it
                holds is for the loss alone.

        Returns:
            `first_embeds`, `second_embeds` `[b, D]`; where the connector has two streams, their means over queries
            `first_metadata`, `first_exploratory`, `second_metadata`, `second_exploratory` `[b, d]`; `logit_scale`.
        """
        columns = {name.partition("_")[2] for name in batch if name.partition("_")[0] in SIDES}
        inputs = {column: _stacked(*(_column(batch, side, column) for side in SIDES)) for column in sorted(columns)}
        output = self.embed(inputs)
        found = {"embeds": output.embeds}
        connected = output.connector_output
        if connected is not None and connected.metadata is not None:
            found |= {name: connected[name].mean(dim=1) for name in ("metadata", "exploratory")}
        halves = {
            f"{side}_{name}": half
            for name, value in found.items()
            for side, half in zip(SIDES, value.chunk(2), strict=True)
        }
        return {**halves, "logit_scale": output.logit_scale}

    def embed(self, inputs: dict[str, torch.Tensor]) -> Any:
        """The model's output for both listings of every pair, `[2 b, ...]`."""
        return self.model(**inputs)


def _column(batch: Mapping[str, torch.Tensor], side: str, column: str) -> torch.Tensor:
    """
    Raises:
        ValueError: the batch has the column for the other side alone.
    """
    name = f"{side}_{column}"
    if name in batch:
        return batch[name]
    if column == "image_mask":  # a processor gives one only where a picture is missing
        return torch.ones(len(batch[f"{side}_pixel_values"]), dtype=torch.bool, device=batch["item_ids"].device)
    raise ValueError(f"The batch lacks {name!r}, which it has for the other listing.")


def _stacked(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Rows of both; texts are brought to one length with zeros, which their masks are at padding."""
    if first.ndim == 2 and first.shape[1] != second.shape[1]:
        length = max(first.shape[1], second.shape[1])
        first, second = (nn.functional.pad(side, (0, length - side.shape[1])) for side in (first, second))
    return torch.cat([first, second])
