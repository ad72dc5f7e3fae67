"""`L_grounding`: the grounding map lies inside the target's box (an addition to TIGER-FG's losses)."""

import torch

from ..models.patch_grid import patches_in_boxes
from .context import LossContext


def grounding_mass_rows(grounding: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Compute `-log` of the share of each grounding map that lies inside the target's box.

    `L_grounding` is the mean over the items that have both a text and a box. The paper trains the map only through
    the item embedding; boxes that mosaics record for free can train it directly. The loss is not in the paper, and
    off by default.

    Args:
        grounding (`[B, h, w]`): grounding maps, which sum to 1.
        boxes (`[B, 4]`): target boxes, x0, y0, x1, y1 as shares of the processed photo.

    Returns:
        Tensor `[B]`, float32.

    Example:
        ```python
        >>> maps = torch.tensor([[[0.5, 0.5]], [[0.75, 0.25]]])  # one row of two patches each
        >>> right_half = torch.tensor([[0.5, 0.0, 1.0, 1.0]]).expand(2, 4)
        >>> grounding_mass_rows(maps, right_half)
        tensor([0.6931, 1.3863])

        ```
    """
    height, width = grounding.shape[1:]
    inside = patches_in_boxes(boxes, (height, width))
    with torch.autocast(grounding.device.type, enabled=False):
        mass = grounding.flatten(1).float().masked_fill(~inside, 0.0).sum(-1)
        # The smallest positive number, so that a map far off its box has a finite loss.
        return -mass.clamp(min=torch.finfo(torch.float32).tiny).log()


def grounding_mass_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_grounding` of a training step; `None` without boxes or texts.

    It needs `boxes`, `has_box`, `input_ids` and `attention_mask`. Texts without tokens are left out.
    """
    representations, batch = context.representations, context.batch
    if "grounding" not in representations:
        return None
    valid = batch["has_box"] & batch["attention_mask"].any(-1)
    values = grounding_mass_rows(representations["grounding"], batch["boxes"])
    return context.rows.mean(values, valid, context.gather(valid))
