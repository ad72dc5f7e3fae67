"""`L_q2v`: queries find their target's region (an addition to TIGER-FG's losses)."""

import torch

from .info_nce import Rows, info_nce


def query_to_region_loss(
    query_embeds: torch.Tensor,
    box_embeds: torch.Tensor,
    has_box: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    all_query_embeds: torch.Tensor | None = None,
    all_box_embeds: torch.Tensor | None = None,
    all_has_box: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    `L_q2v = ½ [NCE(q → z_box) + NCE(z_box → q)]`.

    The paper ties `z_box` to its text and to the fused item. This term ties it to the query as well: patches learn to
    tell products apart before the grounding has learned where to look.

    Args:
        query_embeds, box_embeds (`[b, D]`): L2-normalised.
        has_box (`[b]`, boolean): rows whose target has a box; the others are neither anchors nor candidates.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_query_embeds, all_box_embeds (`[B, D]`), all_has_box (`[B]`): over all processes, own when absent.

    Returns:
        Scalar in float32, a mean over valid rows as in [`Rows.mean`]; exactly 0 without any.
    """
    all_queries = query_embeds if all_query_embeds is None else all_query_embeds
    all_boxes = box_embeds if all_box_embeds is None else all_box_embeds
    all_has_box = has_box if all_has_box is None else all_has_box
    to_box = info_nce(query_embeds, all_boxes, rows, logit_scale, excluded=~all_has_box)
    to_query = info_nce(box_embeds, all_queries, rows, logit_scale, excluded=~all_has_box)
    return rows.mean(0.5 * (to_box + to_query), has_box, all_has_box)
