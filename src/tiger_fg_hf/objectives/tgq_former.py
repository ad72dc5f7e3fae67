"""The training task of TGQ-Former: item-to-item retrieval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .item_to_item import item_to_item_term
from .redundancy import redundancy_term
from .task import LossWeights, Term, WeightedTask

TERMS: Mapping[str, Term] = {"i2i": item_to_item_term, "rr": redundancy_term}


@dataclass(frozen=True)
class TGQFormerLossWeights(LossWeights):
    """Weights of `L = i2i L_i2i + rr L_rr`; also the command-line arguments for them.

    Raises:
        ValueError: a weight is negative.
    """

    terms: ClassVar[Mapping[str, Term]] = TERMS

    i2i: float = field(
        default=1.0,
        metadata={"help": "Weight of the contrastive loss between listings of the same product."},
    )
    rr: float = field(
        default=0.05,
        metadata={"help": "Weight of L_rr, which keeps the two query streams from repeating each other."},
    )


class TGQFormerTask(WeightedTask):
    """The losses of TGQ-Former on a [`TGQFormerStudent`] or a [`DualEncoderStudent`].

    `L_rr` is skipped if the connector does not have two streams. The batch holds `item_ids` `[b]`: pairs of the same
    product are not negatives of each other.

    Args:
        student, weights, gather, rank: see [`WeightedTask`].
    """

    weights_class: ClassVar[type[TGQFormerLossWeights]] = TGQFormerLossWeights
