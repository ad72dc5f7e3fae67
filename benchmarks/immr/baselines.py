"""Baseline item towers with the same backbones, queries, text tokens and training as TIGER-FG."""

from typing import Any, Literal

import torch
from torch import nn

from tiger_fg_hf.models.configuration_tiger_fg import TigerFGConfig
from tiger_fg_hf.models.merge_tiger_fg import TigerFGFocusProjection
from tiger_fg_hf.models.modeling_tiger_fg import TigerFGModel
from tiger_fg_hf.models.outputs_tiger_fg import TigerFGItemOutput

BaselineKind = Literal["image", "late_fusion", "learned_queries"]


class BaselineModel(TigerFGModel):
    """TIGER-FG's query tower with an item tower whose text does not guide where it looks.

    `config.baseline` selects the item tower:

    - `"image"`: the projected class token of the picture; ignores the text.
    - `"late_fusion"`: CLIP-style. An MLP joins the class token and the mean text token; its output is added to the
      projected class token and starts at zero, like TIGER-FG's merge.
    - `"learned_queries"`: TIGER-FG's slots and guided pooling read the patches alone, followed by late fusion.

    The vision encoder, projection and temperature are the same in every kind.
    """

    def _build_item_tower(self, config: TigerFGConfig) -> None:
        super()._build_item_tower(config)
        kind: BaselineKind = config.baseline
        if kind not in ("image", "late_fusion", "learned_queries"):
            raise ValueError(f"baseline must be 'image', 'late_fusion' or 'learned_queries', got {kind!r}.")
        del self.merge
        if kind != "learned_queries":
            del self.grounding_model
        else:
            self.grounding_model.text_layers = nn.ModuleList()
            del self.grounding_model.text_projection
            pooling = self.grounding_model.guided_pooling
            del pooling.text_match_query, pooling.text_match_key
            pooling.text_match_scale = None
        if kind != "image":
            self.fusion = _LateFusion(config)

    def encode_item_text(self, input_ids, attention_mask=None, **kwargs):
        """See [`TigerFGItemModel.encode_item_text`]; returns None if the tower ignores text."""
        return (
            None if self.config.baseline == "image" else super().encode_item_text(input_ids, attention_mask, **kwargs)
        )

    def fuse_item(
        self, vision_tokens=None, text_output=None, attention_mask=None, image_mask=None, **kwargs
    ) -> TigerFGItemOutput:
        """Embed encoded images and texts; see [`TigerFGItemModel.forward`]. Every item needs a picture."""
        visual, semantic, grounding = vision_tokens.cls, vision_tokens.cls, None
        if self.config.baseline == "learned_queries":
            read = self.grounding_model(cls=vision_tokens.cls, patches=vision_tokens.patches)
            visual, semantic = read.appearance, read.focus
            grounding = read.patch_weights.unflatten(-1, vision_tokens.grid)
        embeds = self.visual_projection(visual)
        if self.config.baseline != "image" and text_output is not None:
            embeds = embeds + self.fusion(semantic, text_output.last_hidden_state, attention_mask)
        return TigerFGItemOutput(embeds=nn.functional.normalize(embeds, dim=-1), grounding=grounding)

    def towers(self) -> tuple[nn.Module, nn.Module]:
        """Return the query tower and the item tower, which share this model's parameters."""
        return _QueryView(self), _ItemView(self)


class _LateFusion(nn.Module):
    """MLP over a visual feature and the mean text token; its last layer starts at zero."""

    def __init__(self, config: TigerFGConfig):
        super().__init__()
        vision_config: Any = config.vision_config
        text_config: Any = config.text_config
        width = vision_config.hidden_size
        self.text_projection = nn.Linear(text_config.hidden_size, width)
        self.norm = nn.LayerNorm(2 * width, eps=config.layer_norm_eps)
        self.mlp = nn.Sequential(nn.Linear(2 * width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.GELU())
        self.output = TigerFGFocusProjection(width, config.projection_dim)

    def forward(self, visual: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        weights = torch.ones(tokens.shape[:2], device=tokens.device) if mask is None else mask.to(tokens.device)
        weights = weights.to(tokens.dtype)[..., None]
        pooled = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return self.output(self.mlp(self.norm(torch.cat([visual, self.text_projection(pooled)], dim=-1))))


class _View(nn.Module):
    def __init__(self, model: BaselineModel):
        super().__init__()
        self.model = model
        self.config = model.config

    @property
    def device(self) -> torch.device:
        return self.model.device


class _QueryView(_View):
    def forward(self, pixel_values: torch.Tensor, **kwargs):
        return self.model._embed_query(pixel_values, **kwargs)


class _ItemView(_View):
    def forward(self, pixel_values=None, input_ids=None, attention_mask=None, image_mask=None, **kwargs):
        return self.model._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs)
