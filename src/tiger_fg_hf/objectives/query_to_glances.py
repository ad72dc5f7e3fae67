"""`L_glance`: queries and items that were looked at twice find each other (not in the paper)."""

import torch

from .context import LossContext
from .query_to_item import query_to_item_loss


def query_to_glances_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_glance` of a training step: `L_q2i` with the joined embeddings of both glances.

    The second glance looks at the extents that the model itself finds, as it does after training; while they are
    wrong, at the true boxes, see [`corrected_extents`]. Extents get no gradient here; `L_extent` trains them. A pair
    whose close view is another photo keeps its item embedding, so that no item is encoded three times. `L_close` takes
    the second glances alone as further close views. There are no mismatched texts as negatives. `None` for batches
    without pictures.
    """
    if "joined_embeds" not in context.representations:
        return None
    queries, items = context.representations["query_embeds"], context.representations["joined_embeds"]
    return query_to_item_loss(
        queries,
        items,
        context.rows,
        context.scale,
        all_query_embeds=context.gather(queries),
        all_item_embeds=context.gather(items),
        multi_positive=context.weights.multi_positive,
    )
