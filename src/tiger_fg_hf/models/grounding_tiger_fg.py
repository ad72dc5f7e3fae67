"""Text-guided grounding, layer by layer: slots that read text and patches, the poolings, and the merge."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import ModelOutput

from .configuration_tiger_fg import TigerFGItemConfig


@dataclass
class TigerFGGroundingOutput(ModelOutput):
    """
    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, M, d)`): text-conditioned visual slots `S`.
        slot_weights (`torch.FloatTensor` of shape `(batch, M)`): weights of the slots in `f_m`; they sum to 1.
        focus (`torch.FloatTensor` of shape `(batch, d)`): semantic-focus feature `f_m`.
        appearance (`torch.FloatTensor` of shape `(batch, d)`, *optional*): appearance feature `f_a`; `None` when the
            batch has no images.
        patch_weights (`torch.FloatTensor` of shape `(batch, N)`, *optional*): weights of the patches in `f_a`.
        text_focus (`torch.FloatTensor` of shape `(batch, d)`, *optional*): what the slots hold after the text, before
            the patches, pooled as `f_m` is; `None` when the batch has no texts.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): slots before the first and after each block.
        attentions (`tuple[torch.FloatTensor]`, *optional*): per block `(batch, heads, M, keys)`: text, then patches.
    """

    last_hidden_state: torch.FloatTensor | None = None
    slot_weights: torch.FloatTensor | None = None
    focus: torch.FloatTensor | None = None
    appearance: torch.FloatTensor | None = None
    patch_weights: torch.FloatTensor | None = None
    text_focus: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention that returns its weights; shapes as `ALL_ATTENTION_FUNCTIONS` has them."""
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = nn.functional.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class TigerFGCrossAttention(nn.Module):
    """Multi-head attention from the slots to text or patch tokens."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        self.config = config
        width = config.vision_config.hidden_size
        self.head_dim = width // config.grounding_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, slots: torch.Tensor, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

        # Flash attention's unpadding takes query and key padding to be the same, which does not hold here, and a
        # handful of slots gains nothing from it: every choice but eager runs SDPA.
        eager = self.config._attn_implementation == "eager"
        attend = ALL_ATTENTION_FUNCTIONS.get_interface("eager" if eager else "sdpa", eager_attention_forward)
        output, weights = attend(
            self,
            heads(self.q_proj(slots)),
            heads(self.k_proj(tokens)),
            heads(self.v_proj(tokens)),
            attention_mask,
            scaling=self.scaling,
            dropout=self.config.attention_dropout if self.training else 0.0,
            is_causal=False,
        )
        return self.out_proj(output.flatten(2)), weights


class TigerFGMLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int, activation: str):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.activation = ACT2FN[activation]
        self.fc2 = nn.Linear(hidden_features, out_features)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(states)))


class TigerFGGroundingLayer(GradientCheckpointingLayer):
    """Pre-norm block: the slots attend to one kind of token, then a feed-forward layer."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.slot_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.token_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.cross_attn = TigerFGCrossAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = TigerFGMLP(width, config.grounding_intermediate_size, width, config.hidden_act)

    def forward(
        self,
        slots: torch.Tensor,
        tokens: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        read, _ = self.cross_attn(self.slot_norm(slots), self.token_norm(tokens), attention_mask)
        output = slots + read
        output = output + self.mlp(self.mlp_norm(output))
        # A row without tokens of this kind skips the block, as a batch without them does.
        return output if present is None else torch.where(present[:, None, None], output, slots)


class TigerFGSlotPooling(nn.Module):
    """`f_m`: an MLP scores the slots, a softmax weighs them (paper: slot aggregation)."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.score = TigerFGMLP(width, width, 1, config.hidden_act)

    def forward(self, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slots = self.norm(slots)
        weights = self.score(slots).squeeze(-1).softmax(dim=-1, dtype=torch.float32)
        return torch.einsum("bm,bmd->bd", weights.to(slots.dtype), slots), weights


class TigerFGGuidedPooling(nn.Module):
    """
    `f_a`: `f_m` and the class token together say which patches to pool (paper: complementary visual branch).

    The text has a say of its own: patches that match it weigh more, in the space in which `L_v2t` aligns regions with
    their texts. So what that loss teaches is what the pooling looks by; this is an addition to the paper.
    """

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.guide = TigerFGMLP(2 * width, width, width, config.hidden_act)
        self.key = nn.Linear(width, width, bias=False)
        self.scaling = width**-0.5
        self.text_match_query = nn.Linear(width, width)
        self.text_match_key = nn.Linear(width, width)
        self.text_match_scale = None
        if config.text_match_scale_init is not None:
            self.text_match_scale = nn.Parameter(torch.empty(()))
        self.value = TigerFGPatchValue(width, width, bias=False)
        self.gate = None
        if config.appearance_gate_init is not None:
            self.gate = TigerFGAppearanceGate(2 * width, width)

    def embed_text(self, text_focus: torch.Tensor) -> torch.Tensor:
        """`z_text` `[B, d]`: what the slots made of a text `[B, d]`, as patches are matched with it; L2-normalised."""
        return nn.functional.normalize(self.text_match_query(text_focus).float(), dim=-1)

    def embed_patches(self, patches: torch.Tensor) -> torch.Tensor:
        """Patch tokens, or means of them (`z_box`), `[..., d]`, where they are matched with texts; L2-normalised."""
        return nn.functional.normalize(self.text_match_key(patches).float(), dim=-1)

    def forward(
        self,
        focus: torch.Tensor,
        cls: torch.Tensor,
        patches: torch.Tensor,
        text_focus: torch.Tensor | None = None,
        has_text: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        fused = torch.cat([focus, cls], dim=-1)
        guide = self.guide(fused)
        scores = torch.einsum("bd,bnd->bn", guide, self.key(patches)) * self.scaling
        if text_focus is not None and self.text_match_scale is not None:
            wanted, found = self.embed_text(text_focus), self.embed_patches(patches)
            with torch.autocast(patches.device.type, enabled=False):  # float32: the scale multiplies rounding, too
                match = self.text_match_scale.exp() * torch.einsum("bd,bnd->bn", wanted, found)
            # A row without text is pooled as in a batch without texts.
            scores = scores + (match if has_text is None else torch.where(has_text[:, None], match, 0.0))
        weights = scores.softmax(dim=-1, dtype=torch.float32)
        pooled = self.value(torch.einsum("bn,bnd->bd", weights.to(patches.dtype), patches))
        if self.gate is not None:
            pooled = cls + self.gate(fused).sigmoid() * (pooled - cls)
        return pooled, weights


class TigerFGPatchValue(nn.Linear):
    """Brings pooled patches to where class tokens lie; the identity at the start."""


class TigerFGAppearanceGate(nn.Linear):
    """How far the appearance feature departs from the class token, channel by channel; alike for all at the start."""


class TigerFGVisualProjection(nn.Linear):
    """Projection of visual features; orthogonal at the start, so that the backbone's cosines survive it."""


class TigerFGFocusProjection(nn.Linear):
    """Projection of the semantic focus; zero at the start where the configuration says so."""


class TigerFGMerge(nn.Module):
    """`f_i`: the projected appearance feature plus a residual branch for the semantic focus, L2-normalised."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.hidden = nn.Linear(width, width)
        self.activation = ACT2FN[config.hidden_act]
        self.focus_projection = TigerFGFocusProjection(width, config.projection_dim)

    def forward(
        self, focus: torch.Tensor, visual: torch.Tensor | None, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        embeds = self.focus_projection(self.activation(self.hidden(focus)))
        if visual is not None:
            if present is not None:
                visual = torch.where(present[:, None], visual, torch.zeros_like(visual))
            embeds = embeds + visual
        return nn.functional.normalize(embeds, dim=-1)


def safe_mask(mask: torch.Tensor) -> torch.Tensor:
    """`mask` `[B, L]` with the first token of all-`False` rows unmasked: a softmax over nothing is not a number."""
    empty = ~mask.any(dim=-1, keepdim=True)
    first = torch.arange(mask.shape[-1], device=mask.device) == 0
    return mask | (empty & first)


def additive_mask(mask: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """`mask` `[B, L]` as `[B, 1, M, L]` for attention scores: 0 where `True`, the lowest number elsewhere."""
    additive = torch.zeros(mask.shape, dtype=states.dtype, device=states.device)
    additive = additive.masked_fill(~mask.to(states.device), torch.finfo(states.dtype).min)
    return additive[:, None, None, :].expand(-1, -1, states.shape[1], -1)
