"""`L_close`: queries and close views of the items find each other (an addition to TIGER-FG's losses)."""

import torch

from .context import LossContext
from .query_to_item import query_to_item_loss


def query_to_close_view_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_close`, which is `L_q2i` on close views, of a training step; `None` without close views.

    A mosaic shows its products small, so that the item tower hardly learns to tell clean listings apart. The close
    view of the same item, read with the same text, teaches it that. Rows without a close view take their own item.
    There are no mismatched texts as negatives. The loss is not in the paper, and off by default.
    """
    if "close_embeds" not in context.representations:
        return None
    queries, close = context.representations["query_embeds"], context.representations["close_embeds"]
    return query_to_item_loss(
        queries,
        close,
        context.rows,
        context.scale,
        all_query_embeds=context.gather(queries),
        all_item_embeds=context.gather(close),
        multi_positive=context.weights.multi_positive,
    )
