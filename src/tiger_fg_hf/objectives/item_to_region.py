"""`L_i2v`: the fused item embedding matches the target's region (TIGER-FG)."""

import torch
from torch.nn import functional as F

from .context import LossContext
from .info_nce import Rows, info_nce


def item_to_region_loss(
    item_embeds: torch.Tensor,
    box_embeds: torch.Tensor,
    has_box: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    all_item_embeds: torch.Tensor | None = None,
    all_has_box: torch.Tensor | None = None,
    mismatched_embeds: torch.Tensor | None = None,
    has_mismatch: torch.Tensor | None = None,
    all_has_mismatch: torch.Tensor | None = None,
    hard_weight: float = 1.0,
) -> torch.Tensor:
    """Compute `L_i2v = L_pos + λ_h L_hard`, anchored at the target's region `z_box`.

    `L_pos` distinguishes the region's item from the other items of the batch, including those in the same mosaic.
    `L_hard` distinguishes it from the same photo fused with a text of another category. While `L_v2t` compares the
    region with the text before fusion, this loss acts on the fused embedding, that is, on where the item tower looks.

    The sum and the hard negatives come from the paper. It is inferred that all items of the batch are candidates, with
    or without a box.

    Args:
        item_embeds (`[b, D]`): fused item embeddings `f_i`, L2-normalized.
        box_embeds (`[b, D]`): `z_box`, L2-normalized.
        has_box (`[b]`, boolean): rows whose target has a box. Rows without one are candidates, but not anchors.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_item_embeds (`[B, D]`, *optional*): items of all processes; defaults to `item_embeds`.
        all_has_box (`[B]`, *optional*): the same over all processes; defaults to `has_box`.
        mismatched_embeds (`[b, K, D]`, *optional*): the same photos fused with texts of other categories.
        has_mismatch (`[b]`, boolean, *optional*): rows whose mismatched texts are known to be of another category;
            defaults to all rows.
        all_has_mismatch (`[B]`, *optional*): the same over all processes; defaults to `has_mismatch`.
        hard_weight: λ_h.

    Returns:
        Scalar in float32. Each part is a mean over its valid rows, see [`Rows.mean`], and exactly 0 without any.

    Example:
        ```python
        >>> items, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> has_box, misread = torch.tensor([True, True, False]), torch.eye(3)[:, None]
        >>> round(item_to_region_loss(items, torch.eye(3), has_box, rows, 10.0).item(), 2)
        0.0
        >>> round(item_to_region_loss(items, torch.eye(3), has_box, rows, 10.0, mismatched_embeds=misread).item(), 2)
        0.69

        ```
    """
    all_items = item_embeds if all_item_embeds is None else all_item_embeds
    all_has_box = has_box if all_has_box is None else all_has_box
    loss = rows.mean(info_nce(box_embeds, all_items, rows, logit_scale), has_box, all_has_box)
    if mismatched_embeds is None or not hard_weight:
        return loss
    if has_mismatch is None:
        has_mismatch, all_has_mismatch = torch.ones_like(has_box), torch.ones_like(all_has_box)
    all_has_mismatch = has_mismatch if all_has_mismatch is None else all_has_mismatch
    with torch.autocast(item_embeds.device.type, enabled=False):
        candidates = torch.cat([item_embeds[:, None], mismatched_embeds], dim=1).float()
        logits = logit_scale * torch.einsum("bd,bkd->bk", box_embeds.float(), candidates)
        hard = F.cross_entropy(logits, torch.zeros_like(rows.item_ids), reduction="none")
    return loss + hard_weight * rows.mean(hard, has_box & has_mismatch, all_has_box & all_has_mismatch)


def item_to_region_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_i2v` of a training step; `None` without boxes.

    It needs `boxes`, `has_box` and `category_ids`. Mismatched texts count in rows with a known category, an id of at
    least 0. With `i2v_appearance`, the visual part of the item embedding is compared instead of the whole.
    """
    representations, batch, weights = context.representations, context.batch, context.weights
    if "box_embeds" not in representations:
        return None
    part = "appearance_" if weights.i2v_appearance else ""
    items = representations["appearance_embeds" if part else "item_embeds"]
    has_box, has_category = batch["has_box"], batch["category_ids"] >= 0
    return item_to_region_loss(
        items,
        representations["box_embeds"],
        has_box,
        context.rows,
        context.scale.detach() if weights.detach_temperature else context.scale,
        all_item_embeds=context.gather(items),
        all_has_box=context.gather(has_box),
        mismatched_embeds=representations.get(f"mismatched_{part}embeds"),
        has_mismatch=has_category,
        all_has_mismatch=context.gather(has_category),
        hard_weight=weights.i2v_hard,
    )
