"""From features to embeddings: the projection of visual features and the residual merge of `f_m` and `f_a`."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_tiger_fg import TigerFGItemConfig
from .layers import l2_normalize


class TigerFGVisualProjection(nn.Linear):
    """Project visual features; starts orthogonal, to preserve the backbone's cosines as far as possible."""

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Draw an orthogonal matrix."""
        init.orthogonal_(self.weight)


class TigerFGFocusProjection(nn.Linear):
    """Project the semantic focus; starts at zero if `config.merge_init_zero`."""

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set the weights to zero, or draw them from a normal distribution."""
        if config.merge_init_zero:
            init.zeros_(self.weight)
        else:
            init.normal_(self.weight, mean=0.0, std=config.initializer_range)
        init.zeros_(self.bias)


class TigerFGMerge(nn.Module):
    """Merge into `f_i`: the projected visual feature plus a residual branch for `f_m`, L2-normalized."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.hidden = nn.Linear(width, width)
        self.activation = ACT2FN[config.hidden_act]
        self.focus_projection = TigerFGFocusProjection(width, config.projection_dim)

    def forward(
        self, focus: torch.Tensor, visual: torch.Tensor | None, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Merge features.

        Args:
            focus: `f_m`, `[B, d]`.
            visual: Projected visual features, `[B, D]`.
            present: Boolean `[B]`; where `False`, the visual feature is left out.

        Returns:
            Item embeddings `[B, D]`, float32.
        """
        embeds = self.focus_projection(self.activation(self.hidden(focus)))
        if visual is not None:
            if present is not None:
                visual = torch.where(present[:, None], visual, torch.zeros_like(visual))
            embeds = embeds + visual
        return l2_normalize(embeds)
