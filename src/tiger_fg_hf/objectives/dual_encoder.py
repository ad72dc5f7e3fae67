"""Image-title training of a dual encoder, by the task of [`TGQFormerTask`]: a picture and its title are the pair."""

import torch
from torch import nn
from torch.nn import functional as F

from ..models.dual_encoder_tgq_former import encode_images, encode_titles

# Bound of the scale, as CLIP has it.
_LOGIT_SCALE_MAX = 100.0


class DualEncoderStudent(nn.Module):
    """
    A transformers dual encoder as training runs it.

    Args:
        model: with `get_image_features`, `get_text_features` and `logit_scale`; what is saved and used afterwards.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(
        self,
        first_pixel_values: torch.Tensor,
        first_title_input_ids: torch.Tensor,
        first_title_attention_mask: torch.Tensor,
        **labels,
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            first_pixel_values (`[b, 3, H, W]`), first_title_input_ids, first_title_attention_mask (`[b, L]`): the
                first listing of each pair.
            labels: what else the batch holds.

        Returns:
            `first_embeds`, of pictures, and `second_embeds`, of titles, `[b, D]`, L2-normalised; `logit_scale`.
        """
        image = encode_images(self.model, first_pixel_values)
        title = encode_titles(self.model, first_title_input_ids, first_title_attention_mask)
        scale = self.model.logit_scale.exp()
        return {
            "first_embeds": F.normalize(image.pooler_output, dim=-1),
            "second_embeds": F.normalize(title.pooler_output, dim=-1),
            # Bounded with its gradient kept: a released CLIP starts a hair above the bound, and would never leave it.
            "logit_scale": scale.clamp(max=_LOGIT_SCALE_MAX).detach() + (scale - scale.detach()),
        }
