"""`L_q2v`: queries and the target's regions find each other (an addition to TIGER-FG's losses)."""

import torch

from .context import LossContext
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
    """Compute `L_q2v = ½ [NCE(query → z_box) + NCE(z_box → query)]`.

    The paper compares `z_box` with its text (`L_v2t`) and with the fused item (`L_i2v`), never with the query. With
    this loss, patches learn to tell products apart before the grounding has learned where to look. It is not in the
    paper, and off by default.

    Args:
        query_embeds (`[b, D]`): L2-normalized.
        box_embeds (`[b, D]`): `z_box`, L2-normalized.
        has_box (`[b]`, boolean): rows whose target has a box. Rows without one are neither anchors nor candidates.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_query_embeds (`[B, D]`, *optional*): queries of all processes; defaults to `query_embeds`.
        all_box_embeds (`[B, D]`, *optional*): regions of all processes; defaults to `box_embeds`.
        all_has_box (`[B]`, *optional*): the same over all processes; defaults to `has_box`.

    Returns:
        Scalar in float32, a mean over the rows with a box, see [`Rows.mean`]; exactly 0 without any.

    Example:
        ```python
        >>> queries, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> has_box = torch.tensor([True, True, False])
        >>> round(query_to_region_loss(queries, torch.eye(3), has_box, rows, 1.0).item(), 4)
        0.3133

        ```
    """
    all_queries = query_embeds if all_query_embeds is None else all_query_embeds
    all_boxes = box_embeds if all_box_embeds is None else all_box_embeds
    all_has_box = has_box if all_has_box is None else all_has_box
    to_box = info_nce(query_embeds, all_boxes, rows, logit_scale, excluded=~all_has_box)
    to_query = info_nce(box_embeds, all_queries, rows, logit_scale, excluded=~all_has_box)
    return rows.mean(0.5 * (to_box + to_query), has_box, all_has_box)


def query_to_region_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_q2v` of a training step, which needs `boxes` and `has_box`; `None` without boxes."""
    if "box_embeds" not in context.representations:
        return None
    queries, boxes = context.representations["query_embeds"], context.representations["box_embeds"]
    has_box = context.batch["has_box"]
    return query_to_region_loss(
        queries,
        boxes,
        has_box,
        context.rows,
        context.scale,
        all_query_embeds=context.gather(queries),
        all_box_embeds=context.gather(boxes),
        all_has_box=context.gather(has_box),
    )
