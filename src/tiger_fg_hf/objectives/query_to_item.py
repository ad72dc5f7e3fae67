"""`L_q2i`: queries and items find each other (TIGER-FG's main loss)."""

import torch

from .context import LossContext
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
    """Compute `L_q2i = ½ [L_hard(query → item) + NCE(item → query)]`.

    Query `i` belongs to item `i`. All other rows of the gathered batch are negatives, unless they show the same
    product. The direction from query to item has further negatives: the query's own item photo fused with mismatched
    texts. They teach the item tower to look at the product that the text names; `L_i2v` uses them too.

    The formula comes from the paper. Ignoring rows of the same product is inferred; `multi_positive` is an addition.

    Args:
        query_embeds (`[b, D]`): L2-normalized queries of this process.
        item_embeds (`[b, D]`): L2-normalized items of this process.
        rows: products of the rows.
        logit_scale: inverse temperature, a scalar.
        all_query_embeds (`[B, D]`, *optional*): queries of all processes; defaults to `query_embeds`.
        all_item_embeds (`[B, D]`, *optional*): items of all processes; defaults to `item_embeds`.
        mismatched_embeds (`[b, K, D]`, *optional*): embeddings of the same item photos with other items' texts.
        multi_positive: whether other rows of the same product are positives too, see [`info_nce`].

    Returns:
        Scalar in float32, a mean over this process's rows. Its mean over processes is the mean over the whole batch.

    Raises:
        ValueError: the number of queries, items and ids differ.

    Example:
        ```python
        >>> queries, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> items, misread = torch.eye(3), torch.eye(3)[:, None]  # a mismatched text that changes nothing
        >>> round(query_to_item_loss(queries, items, rows, 10.0).item(), 2)
        0.0
        >>> round(query_to_item_loss(queries, items, rows, 10.0, mismatched_embeds=misread).item(), 2)
        0.35

        ```
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


def query_to_item_term(context: LossContext) -> torch.Tensor:
    """Compute `L_q2i` of a training step.

    Works on any batch. With `hard`, it also uses mismatched texts if the batch has any.
    """
    queries, items = context.representations["query_embeds"], context.representations["item_embeds"]
    return query_to_item_loss(
        queries,
        items,
        context.rows,
        context.scale,
        all_query_embeds=context.gather(queries),
        all_item_embeds=context.gather(items),
        mismatched_embeds=context.representations.get("mismatched_embeds") if context.weights.hard else None,
        multi_positive=context.weights.multi_positive,
    )
