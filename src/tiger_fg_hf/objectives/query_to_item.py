"""`L_q2i`: queries find their items, and items their queries (TIGER-FG)."""

import torch

from .info_nce import Rows, info_nce


def query_to_item_loss(
    query_embeds: torch.Tensor,
    item_embeds: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    all_query_embeds: torch.Tensor | None = None,
    all_item_embeds: torch.Tensor | None = None,
    mismatched_embeds: torch.Tensor | None = None,
    multi_positive: bool = False,
) -> torch.Tensor:
    """
    `L_q2i = ½ [L_hard(q → item) + NCE(item → q)]`.

    Row `i` of the queries belongs to row `i` of the items. Every other row of the gathered batch is a negative, unless
    it is of the same product. In the direction from query to item alone, the query's own item picture fused with
    mismatched texts are further negatives.

    Args:
        query_embeds, item_embeds (`[b, D]`): L2-normalised, of this process.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_query_embeds, all_item_embeds (`[B, D]`, *optional*): the same over all processes; own ones when absent.
        mismatched_embeds (`[b, K, D]`, *optional*): item embeddings of the same pictures with other items' texts.
        multi_positive: whether other rows of the same product are positives as well, see [`info_nce`].

    Returns:
        Scalar in float32, a mean over own rows; the mean over processes is that of the whole batch.

    Raises:
        ValueError: the numbers of queries, items and ids do not fit.
    """
    all_queries = query_embeds if all_query_embeds is None else all_query_embeds
    all_items = item_embeds if all_item_embeds is None else all_item_embeds
    to_items = info_nce(
        query_embeds,
        all_items,
        rows,
        logit_scale,
        extra_negatives=mismatched_embeds,
        multi_positive=multi_positive,
    )
    to_queries = info_nce(item_embeds, all_queries, rows, logit_scale, multi_positive=multi_positive)
    return 0.5 * (to_items.mean() + to_queries.mean())
