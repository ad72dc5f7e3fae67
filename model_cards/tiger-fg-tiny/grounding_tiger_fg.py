"""Text-guided grounding: slots that read the text and then the patches (paper: text-guided branch)."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.output_capturing import capture_outputs

from .attention import Attention, additive_mask, unmask_empty_rows
from .configuration_tiger_fg import TigerFGItemConfig
from .layers import MLP
from .outputs_tiger_fg import TigerFGGroundingOutput
from .pooling_tiger_fg import TigerFGGuidedPooling, TigerFGSlotPooling
from .pretrained import SafePreTrainedModel


class TigerFGGroundingLayer(GradientCheckpointingLayer):
    """Pre-norm block: the slots attend to one kind of token, then pass a feed-forward layer."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width, eps = config.vision_config.hidden_size, config.layer_norm_eps
        self.slot_norm = nn.LayerNorm(width, eps=eps)
        self.token_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attn = Attention(config, width, config.grounding_attention_heads, dropout=config.attention_dropout)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.grounding_intermediate_size, width, config.hidden_act)

    def forward(
        self,
        slots: torch.Tensor,
        tokens: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Update slots `[B, M, d]` from tokens `[B, N, d]`; rows where `present` `[B]` is `False` stay unchanged."""
        read, _ = self.cross_attn(self.slot_norm(slots), self.token_norm(tokens), attention_mask)
        output = slots + read
        output = output + self.mlp(self.mlp_norm(output))
        return output if present is None else torch.where(present[:, None, None], output, slots)


class TigerFGGroundingModel(SafePreTrainedModel):
    """Grounding module of the item tower: from image and text tokens to `f_m`, `f_a` and the grounding map."""

    config: TigerFGItemConfig
    base_model_prefix = "tiger_fg"
    _no_split_modules = ["TigerFGGroundingLayer", "TigerFGGuidedPooling"]
    _can_record_outputs = {"hidden_states": TigerFGGroundingLayer, "attentions": Attention}

    def __init__(self, config: TigerFGItemConfig):
        super().__init__(config)
        width = config.vision_config.hidden_size
        self.slots = nn.Parameter(torch.empty(config.num_slots, width))
        self.text_projection = nn.Linear(config.text_config.hidden_size, width)
        self.text_layers = nn.ModuleList(TigerFGGroundingLayer(config) for _ in range(config.num_text_layers))
        self.visual_layers = nn.ModuleList(TigerFGGroundingLayer(config) for _ in range(config.num_visual_layers))
        self.slot_pooling = TigerFGSlotPooling(config)
        self.guided_pooling = TigerFGGuidedPooling(config)
        self.post_init()

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Draw the slots."""
        init.normal_(self.slots, std=config.initializer_range)

    @capture_outputs
    def forward(
        self,
        cls: torch.Tensor | None = None,
        patches: torch.Tensor | None = None,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TigerFGGroundingOutput:
        """Ground texts in images.

        Args:
            cls (`torch.FloatTensor` of shape `(batch, d)`, *optional*):
                Class tokens.
            patches (`torch.FloatTensor` of shape `(batch, N, d)`, *optional*):
                Patch tokens.
            text (`torch.FloatTensor` of shape `(batch, L, text width)`, *optional*):
                Text tokens `H_t`.
            text_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*):
                `True` at real tokens. A row of `False` is an item without text.
            image_mask (`torch.BoolTensor` of shape `(batch,)`, *optional*):
                `False` at items without an image.
            kwargs: See `TransformersKwargs`.
        """
        batch = text.shape[0] if patches is None else patches.shape[0]
        slots = self.slots.expand(batch, -1, -1)
        text_focus = has_text = None
        if text is not None:
            has_text = None if text_mask is None else text_mask.any(dim=-1)
            slots = self.read_text(slots, text, text_mask)
            text_focus, _ = self.slot_pooling(slots)
        if patches is not None:
            slots = self.read_patches(slots, patches, image_mask)
        focus, slot_weights = self.slot_pooling(slots)
        appearance = patch_weights = None
        if patches is not None:
            appearance, patch_weights = self.guided_pooling(focus, cls, patches, text_focus, has_text)
            if image_mask is not None:
                patch_weights = torch.where(image_mask[:, None], patch_weights, torch.zeros_like(patch_weights))
        return TigerFGGroundingOutput(
            last_hidden_state=slots,
            slot_weights=slot_weights,
            focus=focus,
            appearance=appearance,
            patch_weights=patch_weights,
            text_focus=text_focus,
        )

    def read_text(
        self, slots: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Update slots `[B, M, d]` with the text blocks; see `forward` for the other arguments."""
        text = self.text_projection(text)
        has_text = attention_mask = None
        if text_mask is not None:
            has_text = text_mask.any(dim=-1)
            attention_mask = additive_mask(unmask_empty_rows(text_mask), slots)
        for layer in self.text_layers:
            slots = layer(slots, text, attention_mask, has_text)
        return slots

    def read_patches(
        self, slots: torch.Tensor, patches: torch.Tensor, image_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Update slots `[B, M, d]` with the visual blocks; see `forward` for the other arguments."""
        for layer in self.visual_layers:
            slots = layer(slots, patches, None, image_mask)
        return slots
