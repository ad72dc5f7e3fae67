"""Item-to-item training of TGQ-Former: two listings of a product find each other, the streams do not repeat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .info_nce import Rows
from .query_to_item import query_to_item_loss
from .redundancy import redundancy_loss
from .tgq_former_student import SIDES


@dataclass(frozen=True)
class TGQFormerLossWeights:
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


class TGQFormerTask:
    """
    Student and weights; gives named losses, as [`TigerFGTask`] does for TIGER-FG.

    Args:
        student: [`TGQFormerStudent`], plain or wrapped for distributed training.
        weights: of the terms. `L_rr` drops out where the connector has not two streams.
        gather, rank: see [`TigerFGTask`].
    """

    def __init__(
        self,
        student: nn.Module,
        weights: TGQFormerLossWeights | None = None,
        *,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.student = student
        self.weights = weights or TGQFormerLossWeights()
        self.gather = gather
        self.rank = rank

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """`loss`, the scalar to minimise, and every term and figure worth logging, detached, by name."""
        return self.loss(self.represent(batch), batch)

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The student's representations of a batch or of a part of it; see [`TGQFormerStudent.forward`]."""
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
