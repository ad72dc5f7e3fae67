"""The hybrid-query connector, part by part: queries from the title, Q-Former layers, gates, projector."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import ModelOutput

from .configuration_tgq_former import TGQFormerConfig


@dataclass
class TGQFormerConnectorOutput(ModelOutput):
    """
    Args:
        tokens (`torch.FloatTensor` of shape `(batch, Q, token width)`): visual tokens for the language model.
        metadata (`torch.FloatTensor` of shape `(batch, K, d)`, *optional*): modulated metadata stream, `Ẽ_txt`.
        exploratory (`torch.FloatTensor` of shape `(batch, M, d)`, *optional*): modulated exploratory stream, `Ẽ_rnd`.
        metadata_gate (`torch.FloatTensor` of shape `(batch, d)`, *optional*): `β` of the metadata stream, in [-1, 1].
        exploratory_gate (`torch.FloatTensor` of shape `(batch, d)`, *optional*): `β` of the exploratory stream.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): queries before the first and after each layer.
        attentions (`tuple[torch.FloatTensor]`, *optional*): per layer that reads the image `(batch, heads, Q, N)`.
    """

    tokens: torch.FloatTensor | None = None
    metadata: torch.FloatTensor | None = None
    exploratory: torch.FloatTensor | None = None
    metadata_gate: torch.FloatTensor | None = None
    exploratory_gate: torch.FloatTensor | None = None
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


class TGQFormerAttention(nn.Module):
    """Multi-head attention from queries `[B, Q, d]` to tokens `[B, N, token_width]`."""

    linear = nn.Linear

    def __init__(self, config: TGQFormerConfig, token_width: int | None = None):
        super().__init__()
        self.config = config
        width = config.connector_hidden_size
        self.head_dim = width // config.connector_num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.q_proj = self.linear(width, width)
        self.k_proj = self.linear(token_width or width, width)
        self.v_proj = self.linear(token_width or width, width)
        self.out_proj = self.linear(width, width)

    def forward(self, queries: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

        # A handful of queries gains nothing from flash attention: every choice but eager runs SDPA.
        eager = self.config._attn_implementation == "eager"
        attend = ALL_ATTENTION_FUNCTIONS.get_interface("eager" if eager else "sdpa", eager_attention_forward)
        output, weights = attend(
            self,
            heads(self.q_proj(queries)),
            heads(self.k_proj(tokens)),
            heads(self.v_proj(tokens)),
            None,
            scaling=self.scaling,
            dropout=self.config.connector_dropout if self.training else 0.0,
            is_causal=False,
        )
        return self.out_proj(output.flatten(2)), weights


class TGQFormerCrossProjection(nn.Linear):
    """
    Projection of cross-attention. At the start it keeps the size of its inputs, whatever their width.

    As small as other layers start, what a query reads in the picture would be lost beside what it is itself.
    """


class TGQFormerCrossAttention(TGQFormerAttention):
    """Attention to image tokens; a class of its own, so that its weights can be recorded."""

    linear = TGQFormerCrossProjection


class TGQFormerMLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int, activation: str):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.activation = ACT2FN[activation]
        self.fc2 = nn.Linear(hidden_features, out_features)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(states)))


class TGQFormerLayer(GradientCheckpointingLayer):
    """Pre-norm Q-Former layer: queries attend to each other, where it `reads` to the image, then a feed-forward."""

    def __init__(self, config: TGQFormerConfig, reads: bool):
        super().__init__()
        width, eps = config.connector_hidden_size, config.layer_norm_eps
        self.self_norm = nn.LayerNorm(width, eps=eps)
        self.self_attn = TGQFormerAttention(config)
        self.cross_attn = None
        if reads:
            self.cross_norm = nn.LayerNorm(width, eps=eps)
            self.cross_attn = TGQFormerCrossAttention(config, config.image_width)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = TGQFormerMLP(width, config.connector_intermediate_size, width, config.hidden_act)
        self.dropout = nn.Dropout(config.connector_dropout)

    def forward(self, queries: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        states = self.self_norm(queries)
        queries = queries + self.dropout(self.self_attn(states, states)[0])
        if self.cross_attn is not None:
            queries = queries + self.dropout(self.cross_attn(self.cross_norm(queries), image_tokens)[0])
        return queries + self.dropout(self.mlp(self.mlp_norm(queries)))


class TGQFormerQFormer(nn.Module):
    """`HQC`: layers that bring queries `[B, Q, d]` and image tokens `[B, N, d_v]` together; one for both streams."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.image_norm = nn.LayerNorm(config.image_width, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(
            TGQFormerLayer(config, reads=number % config.cross_attention_frequency == 0)
            for number in range(config.connector_num_layers)
        )
        self.norm = nn.LayerNorm(config.connector_hidden_size, eps=config.layer_norm_eps)

    def forward(self, queries: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        image_tokens = self.image_norm(image_tokens)
        for layer in self.layers:
            queries = layer(queries, image_tokens)
        return self.norm(queries)


class TGQFormerMetadataQueries(nn.Module):
    """
    `Q_txt = Conv1D(CLIP_txt(x)) · W_Q`: a title's tokens, of whatever number, as K queries.

    A convolution over the tokens, then the mean of each of K equal spans of the title; spans of titles shorter than K
    overlap. Padding has no part in either, so that a title's queries do not depend on its batch.
    """

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        kernel = config.metadata_conv_kernel
        self.num_queries = config.num_metadata_queries
        self.norm = nn.LayerNorm(config.title_width, eps=config.layer_norm_eps)
        self.conv = nn.Conv1d(config.title_width, config.connector_hidden_size, kernel, padding=kernel // 2)
        self.query_projection = nn.Linear(config.connector_hidden_size, config.connector_hidden_size)

    def forward(self, title_tokens: torch.Tensor, title_mask: torch.Tensor) -> torch.Tensor:
        """`[B, L, d_t]` and `[B, L]` (boolean) to `[B, K, d]`; a row without tokens gives what an empty title does."""
        states = self.norm(title_tokens) * title_mask[..., None]
        states = self.conv(states.transpose(1, 2)).transpose(1, 2)
        spans = span_weights(title_mask, self.num_queries).to(states.dtype)
        return self.query_projection(spans @ states)


def span_weights(mask: torch.Tensor, spans: int) -> torch.Tensor:
    """
    For each row of `mask` `[B, L]` the means over K equal spans of its n `True` positions, as weights `[B, K, L]`.

    Span k covers positions from `floor(k n / K)` up to `ceil((k + 1) n / K)`, as in adaptive average pooling.
    """
    place = (mask.cumsum(dim=1) - 1)[:, None]
    number = mask.sum(dim=1)[:, None, None]
    span = torch.arange(spans, device=mask.device)[None, :, None]
    start = torch.div(span * number, spans, rounding_mode="floor")
    end = torch.div((span + 1) * number + spans - 1, spans, rounding_mode="floor")
    inside = ((place >= start) & (place < end) & mask[:, None]).float()
    return inside / inside.sum(dim=-1, keepdim=True).clamp(min=1.0)


class TGQFormerGateInput(nn.Linear):
    """
    First layer of a gate. At the start all signals have an equal say in it: of as many numbers, a cosine would drown.

    Args:
        signals: width of each signal, and the length that such a vector has.
    """

    def __init__(self, signals: list[tuple[int, float]], out_features: int):
        super().__init__(sum(width for width, _ in signals), out_features)
        self.signals = signals

    def initial_scale(self) -> torch.Tensor:
        """Standard deviation of the weights of each number, `[in_features]`."""
        scales = [torch.full((width,), 1 / (length * len(self.signals) ** 0.5)) for width, length in self.signals]
        return torch.cat(scales)

    @torch.no_grad()
    def standardise_first(self, mean: float, std: float) -> None:
        """Scales and shifts what the layer makes of the first number, as if that came less `mean`, by `std`."""
        self.weight[:, 0] /= std
        self.bias -= self.weight[:, 0] * mean


class TGQFormerGateOutput(nn.Linear):
    """Last layer of a gate: zero at the start, so that modulation starts as the identity."""


class TGQFormerGate(nn.Module):
    """`β = 2σ(G(u)) − 1`, one number in [-1, 1] per channel; `Ẽ = E · (1 + β)`."""

    def __init__(self, config: TGQFormerConfig, signals: list[tuple[int, float]]):
        super().__init__()
        self.hidden = TGQFormerGateInput(signals, config.gate_hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.output = TGQFormerGateOutput(config.gate_hidden_size, config.connector_hidden_size)

    def forward(self, stream: torch.Tensor, signals: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Stream `[B, K, d]` and signals `[B, ...]` to the modulated stream and `β` `[B, d]`."""
        signal = torch.cat([part.to(stream.dtype) for part in signals], dim=-1)
        beta = 2 * self.output(self.activation(self.hidden(signal))).sigmoid() - 1
        return stream * (1 + beta[:, None]), beta


class TGQFormerHybridQueryConnector(nn.Module):
    """TGQ-Former's own: metadata-anchored and exploratory queries through one Q-Former, each stream gated."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width = config.connector_hidden_size
        self.exploratory_queries = nn.Parameter(torch.empty(config.num_exploratory_queries, width))
        self.metadata_queries = TGQFormerMetadataQueries(config) if config.num_metadata_queries else None
        self.q_former = TGQFormerQFormer(config)
        self.metadata_gate = self.exploratory_gate = None
        if config.gated:
            # Only the metadata stream is told how far the title agrees with the picture: it alone can be misled by it.
            cosine, image, stream = (1, 1.0), (config.shared_width, 1.0), (width, width**0.5)
            self.exploratory_gate = TGQFormerGate(config, [image, stream])
            if config.num_metadata_queries:
                self.metadata_gate = TGQFormerGate(config, [cosine, image, stream, stream])
        self.projector = TGQFormerMLP(width, width, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        queries = self.exploratory_queries.expand(len(image_tokens), -1, -1)
        number = 0
        if self.metadata_queries is not None:
            anchored = self.metadata_queries(title_tokens, title_mask)
            queries, number = torch.cat([anchored.to(queries.dtype), queries], dim=1), anchored.shape[1]
        states = self.q_former(queries, image_tokens)
        metadata, exploratory = states[:, :number], states[:, number:]
        summary = exploratory.mean(dim=1)
        metadata_beta = exploratory_beta = None
        if self.metadata_gate is not None:
            signals = [agreement[:, None], image_embeds, metadata.mean(dim=1), summary]
            metadata, metadata_beta = self.metadata_gate(metadata, signals)
        if self.exploratory_gate is not None:
            exploratory, exploratory_beta = self.exploratory_gate(exploratory, [image_embeds, summary])
        return TGQFormerConnectorOutput(
            tokens=self.projector(torch.cat([metadata, exploratory], dim=1)),
            metadata=metadata if number else None,
            exploratory=exploratory,
            metadata_gate=metadata_beta,
            exploratory_gate=exploratory_beta,
        )
