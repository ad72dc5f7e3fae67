"""`L_i2i`: two listings of the same product find each other (TGQ-Former's main loss)."""

import torch

from .context import LossContext
from .query_to_item import query_to_item_loss


def item_to_item_term(context: LossContext) -> torch.Tensor:
    """Compute `L_i2i = ½ [NCE(first → second) + NCE(second → first)]` of a training step.

    This is [`query_to_item_loss`] of pairs of listings, without mismatched texts. The batch holds both listings of
    each pair; their embeddings are `first_embeds` and `second_embeds` `[b, D]`. A dual encoder is trained by the same
    term, with photos as the first side and titles as the second.

    Source: InfoNCE of TGQ-Former; the symmetric form is inferred.

    Example:
        ```python
        >>> embeds = {"first_embeds": torch.eye(2), "second_embeds": torch.eye(2), "logit_scale": torch.tensor(1.0)}
        >>> round(item_to_item_term(LossContext(embeds, {"item_ids": torch.tensor([7, 8])})).item(), 4)
        0.3133

        ```
    """
    first, second = context.representations["first_embeds"], context.representations["second_embeds"]
    return query_to_item_loss(
        first,
        second,
        context.rows,
        context.scale,
        all_query_embeds=context.gather(first),
        all_item_embeds=context.gather(second),
    )
