"""The TGQ-Former student: the model in the form that training needs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .task import Student

# Prefixes of a batch's columns: one listing of each pair, and the other.
SIDES = ("first", "second")


class TGQFormerStudent(Student):
    """A [`TGQFormerModel`], or its `peft` wrapper, that embeds both listings of every pair in one forward pass.

    Args:
        model: the model that is saved and used after training.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Embed both listings of every pair.

        Args:
            batch: inputs of the model, `[b, ...]` each, with `first_` and `second_` before their names. Other columns
                are ignored.

        Returns:
            `first_embeds` and `second_embeds` `[b, D]`; if the connector has two streams, their means over queries,
            `first_metadata`, `first_exploratory`, `second_metadata` and `second_exploratory` `[b, d]`; the scalar
            `logit_scale`.

        Raises:
            ValueError: the batch has a column for one listing only.
        """
        columns = {name.partition("_")[2] for name in batch if name.partition("_")[0] in SIDES}
        inputs = {column: _stack(*(_column(batch, side, column) for side in SIDES)) for column in sorted(columns)}
        output = self.embed(inputs)
        pairs = {"embeds": output.embeds}
        connected = output.connector_output
        if connected is not None and connected.metadata is not None:
            pairs |= {name: connected[name].mean(dim=1) for name in ("metadata", "exploratory")}
        sides = {
            f"{side}_{name}": half
            for name, value in pairs.items()
            for side, half in zip(SIDES, value.chunk(2), strict=True)
        }
        return {**sides, "logit_scale": output.logit_scale}

    def embed(self, inputs: dict[str, torch.Tensor]) -> Any:
        """Run the model on the listings of all pairs, first listings before second ones, `[2 b, ...]`."""
        return self.model(**inputs)

    def after_step(self) -> None:
        """Clamp the temperature to its bound; gradients still pass at the bound itself."""
        self.model.clamp_logit_scale_()


def _column(batch: Mapping[str, torch.Tensor], side: str, column: str) -> torch.Tensor:
    name = f"{side}_{column}"
    if name in batch:
        return batch[name]
    if column == "image_mask":  # processors return one only if a photo is missing
        return torch.ones(len(batch[f"{side}_pixel_values"]), dtype=torch.bool, device=batch["item_ids"].device)
    raise ValueError(f"The batch lacks {name!r}, which it has for the other listing.")


def _stack(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Stack the rows of both sides, padding texts and their masks with zeros to one length."""
    if first.ndim == 2 and first.shape[1] != second.shape[1]:
        length = max(first.shape[1], second.shape[1])
        first, second = (nn.functional.pad(side, (0, length - side.shape[1])) for side in (first, second))
    return torch.cat([first, second])
