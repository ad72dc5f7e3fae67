"""`L_v2t`: the target's region and its text find each other (TIGER-FG)."""

import torch

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
    """
    `L_v2t = ½ [NCE(z_box → z_text) + NCE(z_text → z_box)]`.

    Args:
        box_embeds (`[b, D]`): `z_box`, L2-normalised.
        text_embeds (`[b, D]`): `z_text`, L2-normalised.
        valid (`[b]`, boolean): rows with a box and a text; the others are neither anchors nor candidates.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_box_embeds, all_text_embeds (`[B, D]`), all_valid (`[B]`): the same over all processes, own when absent.

    Returns:
        Scalar in float32, a mean over valid rows as in [`Rows.mean`]; exactly 0 without any.
    """
    all_boxes = box_embeds if all_box_embeds is None else all_box_embeds
    all_texts = text_embeds if all_text_embeds is None else all_text_embeds
    all_valid = valid if all_valid is None else all_valid
    to_text = info_nce(box_embeds, all_texts, rows, logit_scale, excluded=~all_valid)
    to_box = info_nce(text_embeds, all_boxes, rows, logit_scale, excluded=~all_valid)
    return rows.mean(0.5 * (to_text + to_box), valid, all_valid)
