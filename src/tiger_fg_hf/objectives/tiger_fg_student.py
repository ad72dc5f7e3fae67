"""The student: everything a training step needs of the model, in one forward that wrappers can wrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..models.patch_grid import patches_in_boxes
from .frozen_text import FrozenTextTokens
from .region import mean_of_region, sample_region
from .relation_distillation import relation_distillation_rows


@dataclass(frozen=True)
class TigerFGTerms:
    """
    What the loss needs beside query and item embeddings; what is not needed is not computed.

    Attributes:
        mismatched: item pictures fused with mismatched texts (`L_q2i`'s and `L_i2v`'s hard negatives).
        region: `z_box` (`L_i2v`, `L_q2v`).
        text: `z_box` and `z_text` as `L_v2t` compares them.
        relations: the divergence of patch relations from the teacher's (`L_SRD`).
        relation_temperature: its τ.
        appearance: the visual part of the item embeddings alone, `f_a` projected.
    """

    mismatched: bool = True
    region: bool = True
    text: bool = True
    relations: bool = True
    relation_temperature: float = 0.1
    appearance: bool = False


# By term: the part of the model without which it cannot be computed, and the losses that ask for it.
_PARTS = {
    "region": ("grounding_model", "L_i2v and L_q2v"),
    "text": ("grounding_model.guided_pooling.text_match_key", "L_v2t"),
    "appearance": ("merge", "L_i2v of the appearance alone"),
}


class TigerFGStudent(nn.Module):
    """
    A [`TigerFGModel`] with what only training asks of it.

    Args:
        model: the model; what is saved and used afterwards.
        terms: what `forward` returns.
        frozen_text: tokens of the model's text encoder where it is frozen; otherwise the encoder runs each time.

    Raises:
        ValueError: the model, a baseline, lacks what a term needs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        terms: TigerFGTerms | None = None,
        *,
        frozen_text: FrozenTextTokens | None = None,
    ):
        super().__init__()
        self.model = model
        self.terms = terms or TigerFGTerms()
        self.frozen_text = frozen_text
        for term, (part, losses) in _PARTS.items():
            if getattr(self.terms, term) and not _has_part(model, part):
                raise ValueError(
                    f"{losses} cannot be computed with {type(model).__name__}, which has no `{part}`: set the weight "
                    "to 0."
                )
        # The baseline whose items are their pictures alone: kept tokens must not bring the text in by the back door.
        self._reads_text = getattr(model.config, "baseline", None) != "image"

    def forward(
        self,
        query_pixel_values: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_index: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        hard_input_ids: torch.Tensor | None = None,
        hard_attention_mask: torch.Tensor | None = None,
        boxes: torch.Tensor | None = None,
        teacher_region: torch.Tensor | None = None,
        **labels,
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            query_pixel_values (`[b, 3, H_q, W_q]`): crops.
            pixel_values (`[u, 3, H, W]`), image_index (`[b]`): distinct item pictures, and which is each pair's; as
                many as pairs, in their order, without an index.
            input_ids, attention_mask (`[b, L]`): item texts.
            image_mask (`[b]`): 0 at items without a picture.
            hard_input_ids, hard_attention_mask (`[b, K, L']`): mismatched texts.
            boxes (`[b, 4]`): target boxes as shares of the processed picture.
            teacher_region (`[b, r, s, d_t]`): the teacher's features of the target's crop.
            labels: what else the batch holds, for the loss alone.

        Returns:
            Representations, one row per pair: `query_embeds`, `item_embeds` `[b, D]`; as `terms` has them and the
            batch allows, `mismatched_embeds`, `mismatched_appearance_embeds` `[b, K, D]`, `appearance_embeds`,
            `box_embeds`, `region_embeds`, `text_embeds` `[b, D]`, `relation_divergence` `[b]`; and `logit_scale`, a
            scalar.
        """
        model, terms = self.model, self.terms
        representations = {"query_embeds": model.get_query_features(query_pixel_values)}
        tokens = None if pixel_values is None else model.encode_item_image(pixel_values)
        if tokens is not None and image_index is not None:
            tokens = _rows_of(tokens, image_index)
        text = None if input_ids is None else self._text_tokens(input_ids, _mask_of(input_ids, attention_mask))
        own = model.fuse_item(tokens, text, attention_mask, image_mask)
        representations["item_embeds"] = own.embeds
        if terms.appearance and own.appearance is not None:
            representations["appearance_embeds"] = self._appearance(own)

        # Mismatched texts meet vision tokens that are there already: no picture is encoded twice.
        if terms.mismatched and hard_input_ids is not None and tokens is not None:
            texts = hard_input_ids.shape[1]
            mask = _mask_of(hard_input_ids, hard_attention_mask).flatten(0, 1)
            others = self._text_tokens(hard_input_ids.flatten(0, 1), mask)
            if others is not None:  # an item tower that reads no text has none that mismatch
                pairs = torch.arange(len(own.embeds), device=own.embeds.device)
                fused = model.fuse_item(
                    _rows_of(tokens, pairs.repeat_interleave(texts)),
                    others,
                    mask,
                    None if image_mask is None else image_mask.repeat_interleave(texts),
                )
                representations["mismatched_embeds"] = fused.embeds.unflatten(0, (-1, texts))
                if terms.appearance:
                    appearance = self._appearance(fused)
                    representations["mismatched_appearance_embeds"] = appearance.unflatten(0, (-1, texts))

        if tokens is not None and boxes is not None:
            inside = patches_in_boxes(boxes, tokens.grid)
            region = mean_of_region(tokens.patches, inside)
            if terms.region:
                representations["box_embeds"] = model.embed_region(region)
            if terms.text and own.text_focus is not None:
                matching = model.grounding_model.guided_pooling
                representations["region_embeds"] = matching.embed_patches(region)
                representations["text_embeds"] = matching.embed_text(own.text_focus)
            if terms.relations and teacher_region is not None:
                teacher = sample_region(teacher_region, boxes, tokens.grid)
                representations["relation_divergence"] = relation_distillation_rows(
                    tokens.patches, teacher, inside, temperature=terms.relation_temperature
                )
        representations["logit_scale"] = model.bounded_logit_scale()
        return representations

    def _appearance(self, output) -> torch.Tensor:
        return F.normalize(self.model.visual_projection(output.appearance), dim=-1)

    def _text_tokens(self, input_ids: torch.Tensor, attention_mask: torch.Tensor):
        if self.frozen_text is None or not self._reads_text:
            return self.model.encode_item_text(input_ids, attention_mask)
        return _TextTokens(self.frozen_text(input_ids, attention_mask))


def _has_part(model: nn.Module, path: str) -> bool:
    try:
        attrgetter(path)(model)
    except AttributeError:
        return False
    return True


@dataclass
class _TextTokens:
    last_hidden_state: torch.Tensor


def _mask_of(input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    return torch.ones_like(input_ids) if attention_mask is None else attention_mask


def _rows_of(tokens, index: torch.Tensor):
    return type(tokens)(cls=tokens.cls[index], patches=tokens.patches[index], grid=tokens.grid)


def student_inputs(batch: Mapping) -> dict:
    """What of a batch [`TigerFGStudent.forward`] reads."""
    return {name: value for name, value in batch.items() if torch.is_tensor(value)}
