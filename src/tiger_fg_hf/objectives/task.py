"""The Task: turns a batch into named losses, whatever wraps the model."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .info_nce import symmetric_info_nce


class RetrievalTask:
    """
    Query-to-item retrieval with symmetric InfoNCE over the batch of all processes.

    Args:
        model: [`TigerFGModel`], plain or wrapped for distributed training.
        gather: differentiable concatenation over processes in rank order, `[b, ...] -> [B, ...]`; the identity when
            there is one process.
        rank: index of this process among those that `gather` concatenates.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.model = model
        self.gather = gather
        self.rank = rank

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """
        Args:
            batch: `query_pixel_values` `[b, 3, H, W]`, `item_ids` `[b]`, and of `pixel_values`, `input_ids`,
                `attention_mask`, `image_mask` what the items have.

        Returns:
            `loss`, the scalar to minimise, and every term and figure worth logging, detached, by name.
        """
        inputs = ("query_pixel_values", "pixel_values", "input_ids", "attention_mask", "image_mask")
        output = self.model(**{name: batch[name] for name in inputs if name in batch})
        # One collective per column, never one for a tuple: a silent mix-up of columns is what others have shipped.
        loss = symmetric_info_nce(
            output.query_embeds,
            output.item_embeds,
            batch["item_ids"],
            output.logit_scale,
            all_query_embeds=self.gather(output.query_embeds),
            all_item_embeds=self.gather(output.item_embeds),
            all_item_ids=self.gather(batch["item_ids"]),
            offset=self.rank * len(output.query_embeds),
        )
        return {"loss": loss, "q2i": loss.detach(), "logit_scale": output.logit_scale.detach()}
