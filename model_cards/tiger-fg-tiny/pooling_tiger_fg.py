"""Pooling in the item tower: slots to the semantic focus `f_m`, patches to the appearance feature `f_a`."""

import math

import torch
from torch import nn
from transformers import initialization as init

from .configuration_tiger_fg import TigerFGItemConfig
from .layers import MLP, l2_normalize


class TigerFGSlotPooling(nn.Module):
    """Pool slots to `f_m`: weights are the softmax of an MLP's scores (paper: slot aggregation)."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.score = MLP(width, width, 1, config.hidden_act)

    def forward(self, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pool slots `[B, M, d]` to `[B, d]`; return the weights `[B, M]` as well."""
        slots = self.norm(slots)
        weights = self.score(slots).squeeze(-1).softmax(dim=-1, dtype=torch.float32)
        return torch.einsum("bm,bmd->bd", weights.to(slots.dtype), slots), weights


class TigerFGPatchValue(nn.Linear):
    """Map pooled patches into the space of class tokens; initialized as the identity."""

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set the weights to the identity."""
        init.eye_(self.weight)


class TigerFGAppearanceGate(nn.Linear):
    """Decide per channel between class token and pooled patches; initially the same for all items and channels."""

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set weights to zero and biases to the configured value."""
        init.zeros_(self.weight)
        init.constant_(self.bias, config.appearance_gate_init)


class TigerFGGuidedPooling(nn.Module):
    """Pool patches to `f_a`, guided by `f_m` and the class token (paper: complementary visual branch).

    Unlike in the paper, patches that match the text weigh more: their cosine with the text, in the space in which
    `L_v2t` aligns regions and texts, is scaled and added to the scores. `text_match_scale_init=None` leaves this out.
    """

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.guide = MLP(2 * width, width, width, config.hidden_act)
        self.key = nn.Linear(width, width, bias=False)
        self.scaling = width**-0.5
        self.text_match_query = nn.Linear(width, width)
        self.text_match_key = nn.Linear(width, width)
        self.text_match_scale = None
        if config.text_match_scale_init is not None:
            self.text_match_scale = nn.Parameter(torch.empty(()))
        self.value: nn.Module = nn.Identity()
        if config.appearance_value_layer:
            self.value = TigerFGPatchValue(width, width, bias=False)
        self.gate = None
        if config.appearance_gate_init is not None:
            self.gate = TigerFGAppearanceGate(2 * width, width)

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set the scale of the text match."""
        if self.text_match_scale is not None:
            init.constant_(self.text_match_scale, math.log(config.text_match_scale_init))

    def embed_text(self, text_focus: torch.Tensor) -> torch.Tensor:
        """Embed what the slots read in a text `[B, d]` for matching with patches (`z_text`); L2-normalized."""
        return l2_normalize(self.text_match_query(text_focus))

    def embed_patches(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed patch tokens or means of them `[..., d]` for matching with texts (`z_box`); L2-normalized."""
        return l2_normalize(self.text_match_key(patches))

    def forward(
        self,
        focus: torch.Tensor,
        cls: torch.Tensor,
        patches: torch.Tensor,
        text_focus: torch.Tensor | None = None,
        has_text: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pool patches.

        Args:
            focus: `f_m`, `[B, d]`.
            cls: Class tokens, `[B, d]`.
            patches: Patch tokens, `[B, N, d]`.
            text_focus: What the slots read in the text, `[B, d]`.
            has_text: Boolean `[B]`; rows without text get no text match.

        Returns:
            `f_a` `[B, d]` and the weights of the patches `[B, N]`, float32; they sum to 1.
        """
        fused = torch.cat([focus, cls], dim=-1)
        guide = self.guide(fused)
        scores = torch.einsum("bd,bnd->bn", guide, self.key(patches)) * self.scaling
        if text_focus is not None and self.text_match_scale is not None:
            text_embeds, patch_embeds = self.embed_text(text_focus), self.embed_patches(patches)
            with torch.autocast(patches.device.type, enabled=False):  # the scale would amplify rounding errors
                match = self.text_match_scale.exp() * torch.einsum("bd,bnd->bn", text_embeds, patch_embeds)
            scores = scores + (match if has_text is None else torch.where(has_text[:, None], match, 0.0))
        weights = scores.softmax(dim=-1, dtype=torch.float32)
        pooled = self.value(torch.einsum("bn,bnd->bd", weights.to(patches.dtype), patches))
        if self.gate is not None:
            pooled = cls + self.gate(fused).sigmoid() * (pooled - cls)
        return pooled, weights
