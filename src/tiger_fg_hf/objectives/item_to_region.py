"""`L_i2v`: the fused item embedding is that of its target's region, and of no other text's (TIGER-FG)."""

import torch
from torch.nn import functional as F

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
    """
    `L_i2v = L_pos + λ_h L_hard`, anchored at the target's region `z_box`.

    `L_pos` tells the region's own fused item from those of the batch, siblings of its mosaic among them. `L_hard`
    tells it from the SAME picture fused with the text of ANOTHER category.

    Args:
        item_embeds (`[b, D]`): fused item embeddings `f_i`, L2-normalised.
        box_embeds (`[b, D]`): `z_box`, L2-normalised.
        has_box (`[b]`, boolean): rows whose target has a box; the others are no anchors, though still candidates.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_item_embeds (`[B, D]`), all_has_box (`[B]`): the same over all processes, own when absent.
        mismatched_embeds (`[b, K, D]`, *optional*): the same pictures fused with texts of other categories.
        has_mismatch (`[b]`, boolean, *optional*): rows whose mismatched texts are known to be of another category; all
            when absent.
        all_has_mismatch (`[B]`, *optional*): the same over all processes, own when absent.
        hard_weight: λ_h.

    Returns:
        Scalar in float32, each part a mean over its valid rows as in [`Rows.mean`]; exactly 0 without any.
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
