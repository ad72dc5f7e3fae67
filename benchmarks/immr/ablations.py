"""
TIGER-FG with one part of its item tower changed, for ablations.

Parameters keep their names, so a saved ablation is to be read by its own class; `AutoModel` takes it for the whole.
"""

import torch

from tiger_fg_hf.models.configuration_tiger_fg import TigerFGConfig
from tiger_fg_hf.models.modeling_tiger_fg import (
    TigerFGGroundingModel,
    TigerFGGroundingOutput,
    TigerFGGuidedPooling,
    TigerFGModel,
)


class WithoutAppearanceModel(TigerFGModel):
    """Without `f_a`: the class token takes the place of the guided pooling. Its grounding map is uniform."""

    def _build_item_tower(self, config: TigerFGConfig) -> None:
        super()._build_item_tower(config)
        self.grounding_model.guided_pooling = _ClassTokenPooling(config)


class VisionFirstModel(TigerFGModel):
    """The slots read the patches first and the text second, so that the text does not guide what they read."""

    def _build_item_tower(self, config: TigerFGConfig) -> None:
        super()._build_item_tower(config)
        self.grounding_model = _VisionFirstGroundingModel(config)


class _ClassTokenPooling(TigerFGGuidedPooling):
    def forward(self, focus, cls, patches, text_focus=None, has_text=None) -> tuple[torch.Tensor, torch.Tensor]:
        return cls, patches.new_full(patches.shape[:2], 1 / patches.shape[1], dtype=torch.float32)


class _VisionFirstGroundingModel(TigerFGGroundingModel):
    def forward(self, cls=None, patches=None, text=None, text_mask=None, image_mask=None) -> TigerFGGroundingOutput:
        """As [`TigerFGGroundingModel.forward`]; items have pictures here."""
        slots = self.read_patches(self.slots.expand(len(patches), -1, -1), patches, image_mask)
        text_focus = has_text = None
        if text is not None:
            has_text = None if text_mask is None else text_mask.any(dim=-1)
            # What the text says by itself, as ever: only what the slots read by is to change.
            text_focus, _ = self.slot_pooling(self.read_text(self.slots.expand(len(text), -1, -1), text, text_mask))
            slots = self.read_text(slots, text, text_mask)
        focus, slot_weights = self.slot_pooling(slots)
        appearance, patch_weights = self.guided_pooling(focus, cls, patches, text_focus, has_text)
        return TigerFGGroundingOutput(
            last_hidden_state=slots,
            slot_weights=slot_weights,
            focus=focus,
            appearance=appearance,
            patch_weights=patch_weights,
            text_focus=text_focus,
        )
