"""The training task of TIGER-FG: query and item towers, and a frozen teacher."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from .task import WeightedTask
from .tiger_fg_weights import TigerFGLossWeights


class TigerFGTask(WeightedTask):
    """The losses of TIGER-FG on a [`TigerFGStudent`]; see [`TigerFGLossWeights`] for the sum.

    The batch holds `item_ids` `[b]` and, as far as the losses need them, `boxes` `[b, 4]`, `has_box` `[b]`,
    `category_ids` `[b]`, `attention_mask` `[b, L]` and, for the teacher, `rows` and `flipped` `[b]`.

    Args:
        student, weights, teacher, gather, rank: see [`WeightedTask`]; `teacher` is for `L_SRD` and `L_SDD`.
    """

    weights_class: ClassVar[type[TigerFGLossWeights]] = TigerFGLossWeights
    weights: TigerFGLossWeights

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the student's representations of a batch, or of some of its rows; see [`TigerFGStudent.forward`]."""
        if self.teacher is not None and self.weights.srd and "boxes" in batch:
            batch = {**batch, "teacher_region": self.teacher.regions(batch["rows"], batch["flipped"])}
        return super().represent(batch)
