"""Symmetric InfoNCE between queries and items, blind to other rows of the same product."""

import torch
from torch.nn import functional as F


def symmetric_info_nce(
    query_embeds: torch.Tensor,
    item_embeds: torch.Tensor,
    item_ids: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    all_query_embeds: torch.Tensor | None = None,
    all_item_embeds: torch.Tensor | None = None,
    all_item_ids: torch.Tensor | None = None,
    offset: int = 0,
) -> torch.Tensor:
    """
    `½ [NCE(query → item) + NCE(item → query)]` (TIGER-FG, `L_q2i` without extra hard negatives).

    Row `i` of the queries belongs to row `i` of the items. Every other row of the gathered batch is a negative, unless
    it has the same item id: another picture of the same product is left out, neither positive nor negative.

    Args:
        query_embeds (`[b, D]`): L2-normalised embeddings of this process's queries.
        item_embeds (`[b, D]`): L2-normalised embeddings of this process's items.
        item_ids (`[b]`, integer): product of each row.
        logit_scale: inverse temperature, a scalar.
        all_query_embeds, all_item_embeds (`[B, D]`), all_item_ids (`[B]`): the same over all processes, in
            the order of their ranks; this process's own when absent.
        offset: row of the gathered batch at which this process's rows begin.

    Returns:
        Scalar loss in float32, a mean over this process's rows; the mean over processes is that of the whole batch.

    Raises:
        ValueError: the numbers of queries, items and ids differ.
    """
    if not len(query_embeds) == len(item_embeds) == len(item_ids):
        raise ValueError(
            f"As many queries, items and item ids are needed, got {len(query_embeds)}, {len(item_embeds)} and "
            f"{len(item_ids)}."
        )
    all_queries = query_embeds if all_query_embeds is None else all_query_embeds
    all_items = item_embeds if all_item_embeds is None else all_item_embeds
    all_ids = item_ids if all_item_ids is None else all_item_ids

    targets = torch.arange(len(item_ids), device=item_ids.device) + offset
    same_product = item_ids[:, None] == all_ids[None, :]
    same_product[torch.arange(len(item_ids), device=item_ids.device), targets] = False

    def nce(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        logits = logit_scale * (rows.float() @ columns.float().T)
        return F.cross_entropy(logits.masked_fill(same_product, -torch.inf), targets)

    # Float32, autocast or not: at a scale of 100, bfloat16's rounding is as large as the margins to be learned.
    with torch.autocast(query_embeds.device.type, enabled=False):
        return 0.5 * (nce(query_embeds, all_items) + nce(item_embeds, all_queries))
