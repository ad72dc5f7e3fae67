"""Outputs of the TIGER-FG models."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from .pretrained import NestedOutput


@dataclass
class TigerFGQueryOutput(ModelOutput):
    """Output of the query tower.

    Args:
        embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`): Query embeddings, L2-normalized, in float32
            whatever the dtype of the weights.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, tokens, d)`): Tokens of the vision encoder.
        hidden_states, attentions (`tuple[torch.FloatTensor]`, *optional*): From the vision encoder, if requested.
    """

    embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class TigerFGGroundingOutput(ModelOutput):
    """Output of the grounding model.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, M, d)`): Text-conditioned visual slots `S`.
        slot_weights (`torch.FloatTensor` of shape `(batch, M)`): Weights of the slots in `f_m`; they sum to 1.
        focus (`torch.FloatTensor` of shape `(batch, d)`): Semantic-focus feature `f_m`.
        appearance (`torch.FloatTensor` of shape `(batch, d)`, *optional*): Appearance feature `f_a`; `None` if the
            batch has no images.
        patch_weights (`torch.FloatTensor` of shape `(batch, N)`, *optional*): Weights of the patches in `f_a`.
        text_focus (`torch.FloatTensor` of shape `(batch, d)`, *optional*): The slots after reading the text and before
            reading the patches, pooled like `f_m`; `None` if the batch has no texts.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Slots before the first and after each block.
        attentions (`tuple[torch.FloatTensor]`, *optional*): `(batch, heads, M, keys)` for each block: text blocks,
            then visual blocks.
    """

    last_hidden_state: torch.FloatTensor | None = None
    slot_weights: torch.FloatTensor | None = None
    focus: torch.FloatTensor | None = None
    appearance: torch.FloatTensor | None = None
    patch_weights: torch.FloatTensor | None = None
    text_focus: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class TigerFGExtentOutput(ModelOutput):
    """Where the objects of items lie, from the first glance.

    Args:
        extent (`torch.FloatTensor` of shape `(batch, 4)`): x0, y0, x1, y1 as shares of width and height, in [0, 1].
        patch_extents (`torch.FloatTensor` of shape `(batch, h * w, 4)`, *optional*): With `extent="votes"`, the box
            that each patch predicts for the object that it lies on.
        grounding (`torch.FloatTensor` of shape `(batch, h, w)`, *optional*): With `extent="head"`, the grounding map
            weighted by the object's mask.
        mask_logits (`torch.FloatTensor` of shape `(batch, 2 * h, 2 * w)`, *optional*): With `extent="head"`, logits of
            the object's mask.
        column_logits, row_logits (`torch.FloatTensor` of shapes `(batch, 2, 2 * w)` and `(batch, 2, 2 * h)`,
            *optional*): With `extent="head"`, logits of the first and last half patch of the object along x and y.
    """

    extent: torch.FloatTensor | None = None
    patch_extents: torch.FloatTensor | None = None
    grounding: torch.FloatTensor | None = None
    mask_logits: torch.FloatTensor | None = None
    column_logits: torch.FloatTensor | None = None
    row_logits: torch.FloatTensor | None = None


@dataclass
class TigerFGItemOutput(NestedOutput):
    """Output of the item tower.

    Args:
        embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`): Item embeddings `f_i`, L2-normalized, in
            float32 whatever the dtype of the weights; of both glances together if there are two.
        grounding (`torch.FloatTensor` of shape `(batch, h, w)`, *optional*): Where the item tower looked: weights over
            the patch grid that sum to 1, or to 0 in rows without an image. `None` if the batch has no images. With
            two glances and `extent="head"`, weighted by the mask that the head finds.
        slot_weights, focus, appearance, text_focus, hidden_states, attentions: See [`TigerFGGroundingOutput`].
        last_hidden_state (`torch.FloatTensor` of shape `(batch, M, d)`): The slots.
        vision_model_output, text_model_output (`ModelOutput`, *optional*): Outputs of the two encoders.
        extent (`torch.FloatTensor` of shape `(batch, 4)`, *optional*): With two glances, where the second looked: x0,
            y0, x1, y1 as shares of width and height, in [0, 1]; zeros in rows without an image. All other fields
            except `embeds`, `grounding` and `glance_embeds` come from the first glance.
        first_embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`, *optional*): With two glances, the
            embeddings of the first alone.
        glance_embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`, *optional*): Those of the second alone;
            zeros in rows without an image.
    """

    embeds: torch.FloatTensor | None = None
    grounding: torch.FloatTensor | None = None
    slot_weights: torch.FloatTensor | None = None
    focus: torch.FloatTensor | None = None
    appearance: torch.FloatTensor | None = None
    text_focus: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    vision_model_output: ModelOutput | None = None
    text_model_output: ModelOutput | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    extent: torch.FloatTensor | None = None
    first_embeds: torch.FloatTensor | None = None
    glance_embeds: torch.FloatTensor | None = None


@dataclass
class TigerFGOutput(NestedOutput):
    """Output of the joint model.

    Args:
        logits_per_query (`torch.FloatTensor` of shape `(queries, items)`, *optional*): Scaled cosine similarities.
        query_embeds (`torch.FloatTensor` of shape `(queries, projection_dim)`, *optional*): L2-normalized.
        item_embeds (`torch.FloatTensor` of shape `(items, projection_dim)`, *optional*): L2-normalized.
        grounding (`torch.FloatTensor` of shape `(items, h, w)`, *optional*): See [`TigerFGItemOutput`].
        logit_scale (`torch.FloatTensor` of shape `()`): Bounded inverse temperature.
        query_model_output, item_model_output (*optional*): Outputs of the two towers.
    """

    logits_per_query: torch.FloatTensor | None = None
    query_embeds: torch.FloatTensor | None = None
    item_embeds: torch.FloatTensor | None = None
    grounding: torch.FloatTensor | None = None
    logit_scale: torch.FloatTensor | None = None
    query_model_output: TigerFGQueryOutput | None = None
    item_model_output: TigerFGItemOutput | None = None
