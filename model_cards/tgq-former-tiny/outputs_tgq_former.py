"""Outputs of the TGQ-Former models."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from .pretrained import NestedOutput


@dataclass
class TGQFormerPair(ModelOutput):
    """What the frozen dual encoder computes from a batch of images and titles.

    Args:
        image_tokens (`torch.FloatTensor` of shape `(batch, N, d_v)`): Image tokens `H_img`.
        image_embeds (`torch.FloatTensor` of shape `(batch, D)`): Global image features `f_img`, L2-normalized.
        title_tokens (`torch.FloatTensor` of shape `(batch, L, d_t)`, *optional*): Title tokens.
        title_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*): `True` at real title tokens.
        agreement (`torch.FloatTensor` of shape `(batch,)`): `S_title`, cosine of image and title; 0 without a title.
    """

    image_tokens: torch.FloatTensor | None = None
    image_embeds: torch.FloatTensor | None = None
    title_tokens: torch.FloatTensor | None = None
    title_mask: torch.BoolTensor | None = None
    agreement: torch.FloatTensor | None = None


@dataclass
class TGQFormerConnectorOutput(ModelOutput):
    """Output of a connector.

    Args:
        tokens (`torch.FloatTensor` of shape `(batch, Q, token width)`): Visual tokens for the language model.
        metadata (`torch.FloatTensor` of shape `(batch, K, d)`, *optional*): Modulated metadata stream `Ẽ_txt`.
        exploratory (`torch.FloatTensor` of shape `(batch, M, d)`, *optional*): Modulated exploratory stream `Ẽ_rnd`.
        metadata_gate (`torch.FloatTensor` of shape `(batch, d)`, *optional*): `β` of the metadata stream, in [-1, 1].
        exploratory_gate (`torch.FloatTensor` of shape `(batch, d)`, *optional*): `β` of the exploratory stream.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Queries before the first and after each layer.
        attentions (`tuple[torch.FloatTensor]`, *optional*): `(batch, heads, Q, N)` for each layer that reads images.
    """

    tokens: torch.FloatTensor | None = None
    metadata: torch.FloatTensor | None = None
    exploratory: torch.FloatTensor | None = None
    metadata_gate: torch.FloatTensor | None = None
    exploratory_gate: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class TGQFormerOutput(NestedOutput):
    """Output of the item embedder.

    Args:
        embeds (`torch.FloatTensor` of shape `(batch, text width)`): Item embeddings, L2-normalized, in float32
            whatever the dtype of the weights.
        agreement (`torch.FloatTensor` of shape `(batch,)`, *optional*): `S_title`, cosine of image and title; 0 if one
            of them is missing.
        connector_output ([`TGQFormerConnectorOutput`], *optional*): Visual tokens, streams and gates; `None` if the
            batch has no images.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, Q + L, text width)`): From the language model.
        logit_scale (`torch.FloatTensor` of shape `()`): Bounded inverse temperature.
        hidden_states, attentions (`tuple[torch.FloatTensor]`, *optional*): From the language model, if requested.
    """

    embeds: torch.FloatTensor | None = None
    agreement: torch.FloatTensor | None = None
    connector_output: TGQFormerConnectorOutput | None = None
    last_hidden_state: torch.FloatTensor | None = None
    logit_scale: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
