"""The dual-encoder student: a transformers dual encoder in the form that training needs."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from ..models.dual_encoder_tgq_former import encode_images, encode_titles
from .task import Student

# CLIP's bound of the inverse temperature, 100, in log space.
_LOGIT_SCALE_MAX = math.log(100.0)


class DualEncoderStudent(Student):
    """A transformers image-text dual encoder, trained by [`TGQFormerTask`] on pairs of a photo and its title.

    Args:
        model: model with `get_image_features`, `get_text_features` and `logit_scale`.
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
        """Embed the photo and the title of the first listing of each pair.

        Args:
            first_pixel_values (`[b, 3, H, W]`): photos.
            first_title_input_ids (`[b, L]`): titles.
            first_title_attention_mask (`[b, L]`): 0 at padding.
            labels: other columns of the batch, ignored.

        Returns:
            L2-normalized `first_embeds` of photos and `second_embeds` of titles, `[b, D]`; the scalar `logit_scale`.
        """
        image = encode_images(self.model, first_pixel_values)
        title = encode_titles(self.model, first_title_input_ids, first_title_attention_mask)
        return {
            "first_embeds": F.normalize(image.pooler_output, dim=-1),
            "second_embeds": F.normalize(title.pooler_output, dim=-1),
            # SigLIP's has shape `[1]`. GradCache takes every tensor with a dimension for one with rows.
            "logit_scale": self.model.logit_scale.clamp(max=_LOGIT_SCALE_MAX).exp().squeeze(),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Clamp the temperature to its bound; gradients still pass at the bound itself."""
        self.model.logit_scale.clamp_(max=_LOGIT_SCALE_MAX)
