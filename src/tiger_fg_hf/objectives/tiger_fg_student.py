"""The TIGER-FG student: everything that the losses need from the model, in one forward pass that wrappers can wrap."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..models.outputs_tiger_fg import TigerFGItemOutput
from ..models.patch_grid import patches_in_boxes
from .extent import corrected_extents, extent_rows
from .frozen_text import FrozenTextTokens
from .region import mean_of_region, sample_region
from .relation_distillation import relation_distillation_rows
from .task import Student


@dataclass(frozen=True)
class TigerFGStudentOutputs:
    """Outputs that the student computes in addition to query and item embeddings, and their settings.

    Attributes:
        mismatched: item photos fused with mismatched texts, the hard negatives of `L_q2i` and `L_i2v`.
        region: `z_box`, for `L_i2v` and `L_q2v`.
        text: `z_box` and `z_text` in the space in which `L_v2t` compares them.
        relations: divergence of the patch relations from the teacher's, for `L_SRD`.
        relation_temperature: τ of `L_SRD`.
        self_relations: whether `L_SRD` includes each patch's relation to itself.
        appearance: the visual part of the item embeddings alone, `f_a` projected.
        close: the close views of the items, for `L_close` and `L_SDD` without a frozen teacher.
        grounding: grounding maps, for `L_grounding`.
        extents: error of the extents, for `L_extent`.
        joined: item embeddings of both glances, for `L_glance`.
    """

    mismatched: bool = True
    region: bool = True
    text: bool = True
    relations: bool = True
    relation_temperature: float = 0.1
    self_relations: bool = False
    appearance: bool = False
    extents: bool = False
    close: bool = False
    grounding: bool = False
    joined: bool = False


# The part of the model that an output needs, and the losses that need the output.
_PARTS = {
    "region": ("grounding_model", "L_i2v and L_q2v"),
    "text": ("grounding_model.guided_pooling.text_match_key", "L_v2t"),
    "appearance": ("merge", "L_i2v of the appearance alone"),
    "grounding": ("grounding_model", "L_grounding"),
    "extents": ("extent.needs_boxes", "L_extent"),
    "joined": ("glance_gate", "L_glance"),
}


class TigerFGStudent(Student):
    """A [`TigerFGModel`] that also computes what only the losses need.

    Args:
        model: the model that is saved and used after training.
        outputs: what `forward` returns; by default, everything except `appearance`, `extents`, `close`, `grounding`
            and `joined`.
        frozen_text: cache of the tokens of a frozen text encoder. Without one, the encoder runs in every step.

    Raises:
        ValueError: the model lacks a part that an output needs, as baselines may.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        outputs: TigerFGStudentOutputs | None = None,
        *,
        frozen_text: FrozenTextTokens | None = None,
    ):
        super().__init__()
        self.model = model
        self.outputs = outputs or TigerFGStudentOutputs()
        self.frozen_text = frozen_text
        for output, (part, losses) in _PARTS.items():
            if getattr(self.outputs, output) and not _has_part(model, part):
                raise ValueError(
                    f"{losses} cannot be computed with {type(model).__name__}, which has no `{part}`: set the weight "
                    "to 0."
                )
        # The image-only baseline encodes no text; cached tokens must not give it any.
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
        close_pixel_values: torch.Tensor | None = None,
        close_index: torch.Tensor | None = None,
        close_is_crop: torch.Tensor | None = None,
        has_box: torch.Tensor | None = None,
        **labels,
    ) -> dict[str, torch.Tensor]:
        """Compute the representations of a batch; every photo is encoded once.

        Args:
            query_pixel_values (`[b, 3, H_q, W_q]`): query crops.
            pixel_values (`[u, 3, H, W]`): distinct item photos.
            image_index (`[b]`): the photo of each pair; without it, photo `i` belongs to pair `i`.
            input_ids (`[b, L]`): item texts.
            attention_mask (`[b, L]`): 0 at padding.
            image_mask (`[b]`): 0 for items without a photo.
            hard_input_ids (`[b, K, L']`): mismatched texts.
            hard_attention_mask (`[b, K, L']`): 0 at padding.
            boxes (`[b, 4]`): target boxes, x0, y0, x1, y1 as shares of the processed photo.
            teacher_region (`[b, r, s, d_t]`): the teacher's features of the target's crop.
            close_pixel_values (`[c, 3, s, s]`): close views.
            close_index (`[b]`): the close view of each pair; -1 without one.
            close_is_crop (`[b]`): whether the close view is cut out of the item photo.
            has_box (`[b]`): whether `boxes` has the target's box.
            labels: other columns of the batch, ignored.

        Returns:
            Representations with one row per pair: `query_embeds` and `item_embeds` `[b, D]`; as far as `outputs` asks
            for them and the batch allows, `mismatched_embeds` and `mismatched_appearance_embeds` `[b, K, D]`,
            `appearance_embeds`, `box_embeds`, `region_embeds`, `text_embeds`, `close_embeds` and `joined_embeds`
            `[b, D]`, `relation_divergence` and `extent_error` `[b]`, and `grounding` `[b, h, w]`. All
            embeddings are L2-normalized. Includes the scalar `logit_scale`.

            `close_embeds` and `joined_embeds` have the item embedding in rows that have no such view. With `joined`,
            each item is encoded once more: by its close view if that is another photo, by the second glance if there
            is no close view or it is cut out of the item photo.
        """
        model, outputs = self.model, self.outputs
        representations = {"query_embeds": model.get_query_features(query_pixel_values)}
        tokens = None if pixel_values is None else model.encode_item_image(pixel_values)
        if tokens is not None and image_index is not None:
            tokens = _select_photos(tokens, image_index)
        text = None if input_ids is None else self._text_tokens(input_ids, _mask_of(input_ids, attention_mask))
        item = model.fuse_item(tokens, text, attention_mask, image_mask)
        representations["item_embeds"] = item.embeds
        if outputs.appearance and item.appearance is not None:
            representations["appearance_embeds"] = self._appearance(item)
        # Copies, so that processes gather the same columns whatever views their pairs have.
        if outputs.close and close_index is not None:
            representations["close_embeds"] = item.embeds.clone()
        again = torch.zeros(len(query_pixel_values), dtype=torch.bool, device=query_pixel_values.device)
        if outputs.joined and tokens is not None and pixel_values is not None:
            representations["joined_embeds"] = item.embeds.clone()
            again = ~_shown_apart(close_index, close_is_crop) if close_index is not None else ~again
        if outputs.close and close_pixel_values is not None and close_index is not None:
            rows = ((close_index >= 0) & ~again).nonzero()[:, 0]
            if len(rows):
                used, places = close_index[rows].unique(return_inverse=True)
                close_tokens = _select_photos(model.encode_item_image(close_pixel_values[used]), places)
                close = model.fuse_item(close_tokens, *_rows_of_text(text, attention_mask, rows))
                _put(representations, "close_embeds", rows, close.embeds)
        predicted: Any = None
        if tokens is not None and ((outputs.extents and boxes is not None) or again.any()):
            predicted = model.find_extent(tokens, item, image_mask)
        if predicted is not None and pixel_values is not None and again.any():
            rows = again.nonzero()[:, 0]
            extent = predicted.extent.detach()[rows]
            if boxes is not None and has_box is not None:
                extent = corrected_extents(extent, boxes[rows], has_box[rows])
            mask = None if image_mask is None else image_mask[rows]
            pictures = pixel_values[rows if image_index is None else image_index[rows]]
            second = model.second_glance(pictures, extent, *_rows_of_text(text, attention_mask, rows), mask)
            joined = model.join_glances(TigerFGItemOutput(embeds=item.embeds[rows]), second, extent, mask)
            _put(representations, "joined_embeds", rows, joined.embeds)
            if "close_embeds" in representations:
                rows, alone = (rows, second.embeds) if mask is None else (rows[mask > 0], second.embeds[mask > 0])
                _put(representations, "close_embeds", rows, alone)

        # Mismatched texts reuse the vision tokens: no photo is encoded twice.
        if outputs.mismatched and hard_input_ids is not None and tokens is not None:
            texts = hard_input_ids.shape[1]
            mask = _mask_of(hard_input_ids, hard_attention_mask).flatten(0, 1)
            hard_text = self._text_tokens(hard_input_ids.flatten(0, 1), mask)
            if hard_text is not None:  # None: the item tower reads no text
                pairs = torch.arange(len(item.embeds), device=item.embeds.device)
                fused = model.fuse_item(
                    _select_photos(tokens, pairs.repeat_interleave(texts)),
                    hard_text,
                    mask,
                    None if image_mask is None else image_mask.repeat_interleave(texts),
                )
                representations["mismatched_embeds"] = fused.embeds.unflatten(0, (-1, texts))
                if outputs.appearance:
                    appearance = self._appearance(fused)
                    representations["mismatched_appearance_embeds"] = appearance.unflatten(0, (-1, texts))

        if outputs.grounding and boxes is not None and text is not None and item.grounding is not None:
            representations["grounding"] = item.grounding
        if tokens is not None and boxes is not None:
            inside = patches_in_boxes(boxes, tokens.grid)
            region = mean_of_region(tokens.patches, inside)
            if outputs.region:
                representations["box_embeds"] = model.embed_region(region)
            if outputs.text and item.text_focus is not None:
                matching = model.grounding_model.guided_pooling
                representations["region_embeds"] = matching.embed_patches(region)
                representations["text_embeds"] = matching.embed_text(item.text_focus)
            if outputs.relations and teacher_region is not None:
                representations["relation_divergence"] = relation_distillation_rows(
                    tokens.patches,
                    sample_region(teacher_region, boxes, tokens.grid),
                    inside,
                    temperature=outputs.relation_temperature,
                    self_relations=outputs.self_relations,
                )
            if outputs.extents:
                representations["extent_error"] = extent_rows(predicted, boxes, inside)
        representations["logit_scale"] = model.bounded_logit_scale()
        return representations

    def after_step(self) -> None:
        """Clamp the temperature to its bound; gradients still pass at the bound itself."""
        self.model.clamp_logit_scale_()

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


def _shown_apart(close_index: torch.Tensor, close_is_crop: torch.Tensor | None) -> torch.Tensor:
    """Return which pairs have a close view that is not cut out of the item photo, `[b]`."""
    return close_index >= 0 if close_is_crop is None else (close_index >= 0) & ~close_is_crop


def _rows_of_text(text, attention_mask: torch.Tensor | None, rows: torch.Tensor):
    """Return text tokens and attention mask of some pairs."""
    if text is None:
        return None, None
    mask = None if attention_mask is None else attention_mask[rows]
    return _TextTokens(text.last_hidden_state[rows]), mask


def _put(representations: dict[str, torch.Tensor], name: str, rows: torch.Tensor, values: torch.Tensor) -> None:
    """Replace some rows of a representation."""
    known = representations[name]
    representations[name] = known.index_copy(0, rows, values.to(known.dtype))


def _select_photos(tokens, index: torch.Tensor):
    return type(tokens)(cls=tokens.cls[index], patches=tokens.patches[index], grid=tokens.grid)
