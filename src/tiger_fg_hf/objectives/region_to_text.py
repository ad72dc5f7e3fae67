"""`L_v2t`: the target's regions and texts find each other (TIGER-FG)."""

import torch

from .context import LossContext
from .info_nce import Rows, info_nce


def region_to_text_loss(
    box_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    valid: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    all_box_embeds: torch.Tensor | None = None,
    all_text_embeds: torch.Tensor | None = None,
    all_valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute `L_v2t = ½ [NCE(z_box → z_text) + NCE(z_text → z_box)]`.

    It puts patches and texts into one space, so that a text can point at the patches it describes. `L_i2v` builds on
    that. The formula comes from the paper; taking `z_box` as the mean of the patches in the box is inferred.

    Args:
        box_embeds (`[b, D]`): `z_box`, L2-normalized.
        text_embeds (`[b, D]`): `z_text`, L2-normalized.
        valid (`[b]`, boolean): rows with a box and a text. All others are neither anchors nor candidates.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_box_embeds (`[B, D]`, *optional*): regions of all processes; defaults to `box_embeds`.
        all_text_embeds (`[B, D]`, *optional*): texts of all processes; defaults to `text_embeds`.
        all_valid (`[B]`, *optional*): the same over all processes; defaults to `valid`.

    Returns:
        Scalar in float32, a mean over the valid rows, see [`Rows.mean`]; exactly 0 without any.

    Example:
        ```python
        >>> regions, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> valid = torch.tensor([True, True, False])
        >>> round(region_to_text_loss(regions, torch.eye(3), valid, rows, 1.0).item(), 4)
        0.3133

        ```
    """
    all_boxes = box_embeds if all_box_embeds is None else all_box_embeds
    all_texts = text_embeds if all_text_embeds is None else all_text_embeds
    all_valid = valid if all_valid is None else all_valid
    to_text = info_nce(box_embeds, all_texts, rows, logit_scale, excluded=~all_valid)
    to_box = info_nce(text_embeds, all_boxes, rows, logit_scale, excluded=~all_valid)
    return rows.mean(0.5 * (to_text + to_box), valid, all_valid)


def region_to_text_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_v2t` of a training step; `None` without boxes or texts.

    It needs `boxes`, `has_box`, `input_ids` and `attention_mask`. Texts without tokens are left out.
    """
    if "region_embeds" not in context.representations:
        return None
    regions, texts = context.representations["region_embeds"], context.representations["text_embeds"]
    valid = context.batch["has_box"] & context.batch["attention_mask"].any(-1)
    return region_to_text_loss(
        regions,
        texts,
        valid,
        context.rows,
        context.scale.detach() if context.weights.detach_temperature else context.scale,
        all_box_embeds=context.gather(regions),
        all_text_embeds=context.gather(texts),
        all_valid=context.gather(valid),
    )
