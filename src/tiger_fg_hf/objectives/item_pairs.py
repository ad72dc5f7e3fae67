"""Item-to-item training of TGQ-Former: two listings of a product find each other, the streams do not repeat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .info_nce import Rows
from .query_to_item import query_to_item_loss
from .redundancy import redundancy_loss

# Columns of a batch: one listing of each pair, then the other.
SIDES = ("first", "second")


@dataclass(frozen=True)
class ItemPairWeights:
    """
    Weights of the terms, `L = i2i InfoNCE + rr L_rr`; also the command line's arguments for them.

    Raises:
        ValueError: a weight is negative.
    """

    i2i: float = field(default=1.0, metadata={"help": "Weight of InfoNCE: listings of a product find each other."})
    rr: float = field(default=0.05, metadata={"help": "Weight of L_rr: the streams' channels do not correlate."})

    def __post_init__(self):
        for name in ("i2i", "rr"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


class ItemPairStudent(nn.Module):
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


class ItemPairTask:
    """
    Student and weights; gives named losses, as [`RetrievalTask`] does for TIGER-FG.

    Args:
        student: [`ItemPairStudent`], plain or wrapped for distributed training.
        weights: of the terms. `L_rr` drops out where the connector has not two streams.
        gather, rank: see [`RetrievalTask`].
    """

    def __init__(
        self,
        student: nn.Module,
        weights: ItemPairWeights | None = None,
        *,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.student = student
        self.weights = weights or ItemPairWeights()
        self.gather = gather
        self.rank = rank

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """`loss`, the scalar to minimise, and every term and figure worth logging, detached, by name."""
        return self.loss(self.represent(batch), batch)

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The student's representations of a batch or of a part of it; see [`ItemPairStudent.forward`]."""
        return self.student(**{name: value for name, value in batch.items() if torch.is_tensor(value)})

    def loss(self, representations: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """
        Args:
            representations: of all rows of `batch`.
            batch: `item_ids` `[b]`: rows of one product are not each other's negatives.

        Raises:
            ValueError: no term with a weight can be computed.
        """
        weights, scale, gather = self.weights, representations["logit_scale"], self.gather
        ids = batch["item_ids"]
        terms: dict[str, torch.Tensor] = {}
        if weights.i2i:
            first, second = (representations[f"{side}_embeds"] for side in SIDES)
            terms["i2i"] = query_to_item_loss(
                first,
                second,
                Rows(ids, gather(ids), self.rank * len(ids)),
                scale,
                all_query_embeds=gather(first),
                all_item_embeds=gather(second),
            )
        if weights.rr and "first_metadata" in representations:
            streams = [
                torch.cat([gather(representations[f"{side}_{name}"]) for side in SIDES])
                for name in ("metadata", "exploratory")
            ]
            terms["rr"] = redundancy_loss(*streams)
        if not terms:
            raise ValueError(f"No loss is left: of {weights}, this connector allows none.")
        loss = sum(getattr(weights, name) * value for name, value in terms.items())
        return {"loss": loss, **{name: value.detach() for name, value in terms.items()}, "logit_scale": scale.detach()}
