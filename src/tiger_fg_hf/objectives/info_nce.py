"""InfoNCE over the rows of all processes, the core of the contrastive losses."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Rows:
    """Products of this process's rows and of the gathered batch.

    Attributes:
        item_ids (`[b]`, integer): product of each of this process's rows.
        all_item_ids (`[B]`, integer): product of each row of all processes, in the order of their ranks.
        offset: index in the gathered batch of this process's first row.

    Example:
        ```python
        >>> rows = Rows(torch.tensor([1, 2]), torch.tensor([1, 3, 1, 2]), offset=2)
        >>> rows.targets
        tensor([2, 3])
        >>> rows.same_product()
        tensor([[ True, False, False, False],
                [False, False, False, False]])

        ```
    """

    item_ids: torch.Tensor
    all_item_ids: torch.Tensor
    offset: int = 0

    @classmethod
    def of_one_process(cls, item_ids: torch.Tensor) -> "Rows":
        """Return the rows of a batch `[b]` that is not spread over processes."""
        return cls(item_ids, item_ids)

    @property
    def targets(self) -> torch.Tensor:
        """Index in the gathered batch of each of this process's rows, `[b]`."""
        return torch.arange(len(self.item_ids), device=self.item_ids.device) + self.offset

    def same_product(self) -> torch.Tensor:
        """Return the mask `[b, B]` of the other rows of the same product."""
        same = self.item_ids[:, None] == self.all_item_ids[None, :]
        same[torch.arange(len(self.item_ids), device=same.device), self.targets] = False
        return same

    def mean(self, values: torch.Tensor, weights: torch.Tensor, all_weights: torch.Tensor) -> torch.Tensor:
        """Compute this process's share of a weighted mean over the rows of all processes.

        The mean of the results of all processes is the weighted mean over all rows `[B]`.

        Args:
            values (`[b]`): may be anything, even NaN, in rows with a weight of 0.
            weights (`[b]`): at least 0, or boolean.
            all_weights (`[B]`): the weights of all processes.

        Returns:
            Scalar; exactly 0 if all weights are 0.
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
    """Compute `-log p(positive | anchor)` of each of this process's rows, in float32.

    `p` is a softmax of the scaled similarities over the anchor's positive and its negatives. The positive of row `i`
    is candidate `rows.targets[i]`. The negatives are the candidates of other products.

    Args:
        anchors (`[b, D]`): L2-normalized rows of this process.
        candidates (`[B, D]`): L2-normalized rows of all processes.
        rows: products of the rows. Other rows of an anchor's product are ignored, or positives with `multi_positive`.
        logit_scale: inverse temperature, a scalar.
        excluded (`[B]`, boolean, *optional*): candidates that are negatives of no anchor.
        extra_negatives (`[b, K, D]`, *optional*): further negatives, K for each anchor.
        multi_positive: whether the other rows of an anchor's product are positives too, unless `excluded`. The loss is
            then the mean of `-log p` over the anchor's positives, each compared with the negatives alone.

    Returns:
        Tensor `[b]`, float32.

    Raises:
        ValueError: the number of anchors, candidates and ids differ.

    Example:
        ```python
        >>> embeds, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> info_nce(embeds, embeds, rows, 10.0).max() < 1e-3
        tensor(True)
        >>> info_nce(embeds, embeds.roll(1, 0), rows, 10.0).round(decimals=2)
        tensor([10., 10., 10.])

        ```
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
    # Float32 even under autocast: at a scale of 100, bfloat16 rounds by as much as the margins to be learned.
    with torch.autocast(anchors.device.type, enabled=False):
        scores = logit_scale * (anchors.float() @ candidates.float().T)
        # Finite, so that an anchor without negatives has a loss of 0 and finite gradients.
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
