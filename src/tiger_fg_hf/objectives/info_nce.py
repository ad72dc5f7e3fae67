"""InfoNCE over the rows of all processes, blind to other rows of the same product: the contrastive terms' core."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Rows:
    """
    Which rows of the gathered batch belong to which product, and which of them are this process's own.

    Attributes:
        item_ids (`[b]`, integer): product of each own row.
        all_item_ids (`[B]`, integer): product of each row over all processes, in the order of their ranks.
        offset: row of the gathered batch at which the own rows begin.
    """

    item_ids: torch.Tensor
    all_item_ids: torch.Tensor
    offset: int = 0

    @classmethod
    def of_one_process(cls, item_ids: torch.Tensor) -> "Rows":
        return cls(item_ids, item_ids)

    @property
    def targets(self) -> torch.Tensor:
        """Row of the gathered batch that each own row is, `[b]`."""
        return torch.arange(len(self.item_ids), device=self.item_ids.device) + self.offset

    def same_product(self) -> torch.Tensor:
        """`[b, B]`: other rows of the same product, which are neither positive nor negative."""
        same = self.item_ids[:, None] == self.all_item_ids[None, :]
        same[torch.arange(len(self.item_ids), device=same.device), self.targets] = False
        return same

    def mean(self, values: torch.Tensor, weights: torch.Tensor, all_weights: torch.Tensor) -> torch.Tensor:
        """
        Mean of `values` `[b]`, weighed by `weights` `[b]`; exactly 0 where no process has any weight.

        The mean of the results of all processes is the weighted mean over all their rows `[B]` together.

        Args:
            weights (`[b]`), all_weights (`[B]`): at least 0, or boolean for rows that count and rows that do not.
                Without weight, a row's value may be anything, even not a number.
        """
        share = all_weights.sum() * (len(values) / len(all_weights))
        return (values.masked_fill(weights == 0, 0.0) * (weights / share.clamp(min=1e-30))).sum()


def info_nce(
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    excluded: torch.Tensor | None = None,
    extra_negatives: torch.Tensor | None = None,
    multi_positive: bool = False,
) -> torch.Tensor:
    """
    `-log p(own candidate | anchor)` of each own row, in float32.

    Args:
        anchors (`[b, D]`): L2-normalised, own rows.
        candidates (`[B, D]`): L2-normalised, rows of all processes; row `rows.targets[i]` belongs to anchor `i`.
        rows: products of the rows; others of the same product are left out of the denominator.
        logit_scale: inverse temperature, a scalar.
        excluded (`[B]`, boolean, *optional*): candidates that are in no denominator but their own.
        extra_negatives (`[b, K, D]`, *optional*): further negatives of each anchor alone.
        multi_positive: whether the other rows of an anchor's product are positives as well, rather than left out. The
            loss is then the mean over all positives of `-log p`, each against the negatives alone; rows that are
            `excluded` are no positives either.

    Returns:
        `[b]`, float32.

    Raises:
        ValueError: the numbers of anchors, candidates and ids do not fit.
    """
    if len(anchors) != len(rows.item_ids) or len(candidates) != len(rows.all_item_ids):
        raise ValueError(
            f"{len(anchors)} anchors and {len(candidates)} candidates were given with {len(rows.item_ids)} own and "
            f"{len(rows.all_item_ids)} gathered item ids."
        )
    targets = rows.targets[:, None]
    positive = torch.arange(len(candidates), device=targets.device) == targets
    no_negative = rows.same_product() | positive
    if excluded is not None:
        no_negative = no_negative | excluded[None, :]
    # Float32, autocast or not: at a scale of 100, bfloat16's rounding is as large as the margins to be learned.
    with torch.autocast(anchors.device.type, enabled=False):
        scores = logit_scale * (anchors.float() @ candidates.float().T)
        # Finite, so that an anchor without negatives has a loss of 0 and gradients that are numbers.
        negatives = scores.masked_fill(no_negative, -1e4)
        if extra_negatives is not None:
            extra = logit_scale * torch.einsum("bd,bkd->bk", anchors.float(), extra_negatives.float())
            negatives = torch.cat([negatives, extra], dim=-1)
        # -log p = log(1 + Σ exp(negative) / exp(positive)).
        against = negatives.logsumexp(dim=-1)
        if not multi_positive:
            return F.softplus(against - scores.gather(1, targets)[:, 0])
        other = rows.same_product()
        positive = positive | (other if excluded is None else other & ~excluded[None, :])
        losses = F.softplus(against[:, None] - scores)
        return losses.masked_fill(~positive, 0.0).sum(-1) / positive.sum(-1)
