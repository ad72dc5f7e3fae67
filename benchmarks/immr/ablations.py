"""Variants of TIGER-FG with one part of the item tower changed.

Parameters keep their names. Load a saved ablation with its own class: `AutoModel` would load the full model.
"""

import torch

from tiger_fg_hf.models.configuration_tiger_fg import TigerFGConfig
from tiger_fg_hf.models.grounding_tiger_fg import TigerFGGroundingModel
from tiger_fg_hf.models.modeling_tiger_fg import TigerFGModel
from tiger_fg_hf.models.outputs_tiger_fg import TigerFGGroundingOutput
from tiger_fg_hf.models.pooling_tiger_fg import TigerFGGuidedPooling


class WithoutAppearanceModel(TigerFGModel):
    """TIGER-FG without `f_a`: the class token replaces the guided pooling, and the grounding map is uniform."""

    def _build_item_tower(self, config: TigerFGConfig) -> None:
        super()._build_item_tower(config)
        self.grounding_model.guided_pooling = _ClassTokenPooling(config)


class VisionFirstModel(TigerFGModel):
    """TIGER-FG whose slots read the patches before the text, so that the text does not guide what they read."""

    def _build_item_tower(self, config: TigerFGConfig) -> None:
        super()._build_item_tower(config)
        self.grounding_model = _VisionFirstGroundingModel(config)


class _ClassTokenPooling(TigerFGGuidedPooling):
    def forward(self, focus, cls, patches, text_focus=None, has_text=None) -> tuple[torch.Tensor, torch.Tensor]:
        return cls, patches.new_full(patches.shape[:2], 1 / patches.shape[1], dtype=torch.float32)


class _VisionFirstGroundingModel(TigerFGGroundingModel):
    def forward(
        self, cls=None, patches=None, text=None, text_mask=None, image_mask=None, **kwargs
    ) -> TigerFGGroundingOutput:
        """See [`TigerFGGroundingModel.forward`]; every item needs a picture here."""
        slots = self.read_patches(self.slots.expand(len(patches), -1, -1), patches, image_mask)
        text_focus = has_text = None
        if text is not None:
            has_text = None if text_mask is None else text_mask.any(dim=-1)
            # The text's own focus stays as in TIGER-FG: only what the slots read changes.
            text_focus, _ = self.slot_pooling(self.read_text(self.slots.expand(len(text), -1, -1), text, text_mask))
            slots = self.read_text(slots, text, text_mask)
        focus, slot_weights = self.slot_pooling(slots)
        appearance, patch_weights = self.guided_pooling(focus, cls, patches, text_focus, has_text)
        read = {"last_hidden_state": slots, "slot_weights": slot_weights, "focus": focus}
        guided = {"appearance": appearance, "patch_weights": patch_weights, "text_focus": text_focus}
        return TigerFGGroundingOutput(**read, **guided)
