"""Image-title training of a dual encoder, by the task of [`ItemPairTask`]: a picture and its title are the pair."""

import torch
from torch import nn
from torch.nn import functional as F

# Bound of the scale, as CLIP has it.
_LOGIT_SCALE_MAX = 100.0


class ImageTitleStudent(nn.Module):
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
        image = self.model.get_image_features(pixel_values=first_pixel_values, interpolate_pos_encoding=True)
        title = self.model.get_text_features(
            input_ids=first_title_input_ids, attention_mask=first_title_attention_mask
        )
        return {
            "first_embeds": F.normalize(image.pooler_output, dim=-1),
            "second_embeds": F.normalize(title.pooler_output, dim=-1),
            "logit_scale": self.model.logit_scale.exp().clamp(max=_LOGIT_SCALE_MAX),
        }
