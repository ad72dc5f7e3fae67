"""The inputs of the losses in one training step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .info_nce import Rows
from .teacher import TeacherFeatures


class LossContext:
    """Inputs of the losses of one training step; gathers each column over processes only once.

    A loss enters training as a *term*, a function `(context) -> scalar or None`. A term reads its columns from
    `representations` and `batch`, asks `gather` for those it needs from every process, and returns `None` if the batch
    has no columns for it.

    Collectives must run in the same order on every process, and `gather` runs one. A term may therefore depend
    only on what is equal on all processes: the weights, the presence of a teacher, and which columns exist. It must
    not skip a gather because of the values in a column.

    Args:
        representations: outputs of the student for all rows of this process, `[b, ...]` each, and the scalar
            `logit_scale`.
        batch: columns of the batch, `[b, ...]` each, with the product of each row in `item_ids`.
        weights: weights and settings of the losses.
        teacher: features of the frozen teacher, if there is one.
        gather: differentiable concatenation over processes in the order of their ranks, `[b, ...] -> [B, ...]`.
        rank: index of this process.

    Attributes:
        rows: products of this process's rows and of the gathered rows.
        scale: inverse temperature, a scalar.

    Example:
        ```python
        >>> ids, embeds = torch.tensor([7, 8]), torch.eye(2)
        >>> context = LossContext({"query_embeds": embeds, "logit_scale": torch.tensor(10.0)}, {"item_ids": ids})
        >>> context.gather(embeds).shape
        torch.Size([2, 2])
        >>> context.rows.targets
        tensor([0, 1])

        ```
    """

    def __init__(
        self,
        representations: Mapping[str, torch.Tensor],
        batch: Mapping[str, Any],
        *,
        weights: Any = None,
        teacher: TeacherFeatures | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.representations, self.batch = representations, batch
        self.weights, self.teacher = weights, teacher
        self.scale = representations["logit_scale"]
        self._gather = gather
        # Tensors hash by identity; keeping them as keys keeps their identities from being reused.
        self._gathered: dict[torch.Tensor, torch.Tensor] = {}
        ids = batch["item_ids"]
        self.rows = Rows(ids, self.gather(ids), rank * len(ids))

    def gather(self, column: torch.Tensor) -> torch.Tensor:
        """Concatenate a column `[b, ...]` of all processes to `[B, ...]`; run the collective on the first call only.

        Columns are gathered one by one. Packing several into one collective saves little, and a mix-up of columns
        would go unnoticed.
        """
        if column not in self._gathered:
            self._gathered[column] = self._gather(column)
        return self._gathered[column]
