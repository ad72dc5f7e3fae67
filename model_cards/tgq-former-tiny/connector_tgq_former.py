"""The hybrid-query connector of TGQ-Former: queries from the title, Q-Former layers, gated streams."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import Attention
from .configuration_tgq_former import TGQFormerConfig
from .gate_tgq_former import TGQFormerGate
from .layers import MLP
from .outputs_tgq_former import TGQFormerConnectorOutput


class TGQFormerCrossProjection(nn.Linear):
    """Projection of cross-attention, initialized to keep the scale of its inputs whatever their width.

    With weights as small as those of other layers, what a query reads in the image would be lost next to the query.
    """

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Draw weights with standard deviation `1 / sqrt(in_features)`."""
        init.normal_(self.weight, std=self.in_features**-0.5)
        init.zeros_(self.bias)


class TGQFormerCrossAttention(Attention):
    """Attention to image tokens; a separate class, so that only its attention weights are recorded."""

    linear = TGQFormerCrossProjection


class TGQFormerLayer(GradientCheckpointingLayer):
    """Q-Former layer: self-attention among the queries, attention to the image if `reads`, feed-forward layer."""

    def __init__(self, config: TGQFormerConfig, reads: bool):
        super().__init__()
        width, eps = config.connector_hidden_size, config.layer_norm_eps
        heads, dropout = config.connector_num_attention_heads, config.connector_dropout
        self.pre_norm = config.connector_pre_norm
        self.self_norm = nn.LayerNorm(width, eps=eps)
        self.self_attn = Attention(config, width, heads, dropout=dropout)
        self.cross_attn = None
        if reads:
            self.cross_norm = nn.LayerNorm(width, eps=eps)
            self.cross_attn = TGQFormerCrossAttention(config, width, heads, config.image_width, dropout)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.connector_intermediate_size, width, config.hidden_act)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        """Update queries `[B, Q, d]` from image tokens `[B, N, d_v]`."""
        if self.pre_norm:
            states = self.self_norm(queries)
            queries = queries + self.dropout(self.self_attn(states, states)[0])
            if self.cross_attn is not None:
                queries = queries + self.dropout(self.cross_attn(self.cross_norm(queries), image_tokens)[0])
            return queries + self.dropout(self.mlp(self.mlp_norm(queries)))
        queries = self.self_norm(queries + self.dropout(self.self_attn(queries, queries)[0]))
        if self.cross_attn is not None:
            queries = self.cross_norm(queries + self.dropout(self.cross_attn(queries, image_tokens)[0]))
        return self.mlp_norm(queries + self.dropout(self.mlp(queries)))


class TGQFormerQFormer(nn.Module):
    """`HQC`: layers that relate queries `[B, Q, d]` to image tokens `[B, N, d_v]`; both streams share them."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.pre_norm = config.connector_pre_norm
        self.image_norm = nn.LayerNorm(config.image_width, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(
            TGQFormerLayer(config, reads=number % config.cross_attention_frequency == 0)
            for number in range(config.connector_num_layers)
        )
        self.norm = nn.LayerNorm(config.connector_hidden_size, eps=config.layer_norm_eps)

    def forward(self, queries: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        """Return the updated queries `[B, Q, d]`."""
        image_tokens = self.image_norm(image_tokens)
        if not self.pre_norm:
            queries = self.norm(queries)
        for layer in self.layers:
            queries = layer(queries, image_tokens)
        return self.norm(queries) if self.pre_norm else queries


class TGQFormerMetadataQueries(nn.Module):
    """`Q_txt = Conv1D(CLIP_txt(x)) · W_Q`: K queries from the tokens of a title of any length.

    Applies a convolution to the tokens, then averages each of K equal spans of the title. The spans overlap if the
    title has fewer than K tokens. Padding enters neither step, so a title's queries do not depend on its batch.
    """

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        kernel = config.metadata_conv_kernel
        self.num_queries = config.num_metadata_queries
        self.norm = nn.LayerNorm(config.title_width, eps=config.layer_norm_eps)
        self.conv = nn.Conv1d(config.title_width, config.connector_hidden_size, kernel, padding=kernel // 2)
        self.query_projection = nn.Linear(config.connector_hidden_size, config.connector_hidden_size)

    def forward(self, title_tokens: torch.Tensor, title_mask: torch.Tensor) -> torch.Tensor:
        """Compress title tokens `[B, L, d_t]` with a boolean mask `[B, L]` into queries `[B, K, d]`.

        A row without real tokens gets the queries of an empty title.
        """
        states = self.norm(title_tokens) * title_mask[..., None]
        states = self.conv(states.transpose(1, 2)).transpose(1, 2)
        spans = span_weights(title_mask, self.num_queries).to(states.dtype)
        return self.query_projection(spans @ states)


def span_weights(mask: torch.Tensor, spans: int) -> torch.Tensor:
    """Compute weights that average each row's real tokens over equal spans.

    Span k of K covers positions `floor(k n / K)` to `ceil((k + 1) n / K)` of the n real tokens, as in adaptive average
    pooling.

    Args:
        mask: Boolean `[B, L]`, `True` at real tokens.
        spans: Number of spans K.

    Returns:
        `[B, K, L]`, float32; the weights of a span sum to 1, or to 0 in rows without real tokens.

    Example:
        >>> import torch
        >>> span_weights(torch.tensor([[True, True, True, True, False]]), 2).tolist()
        [[[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 0.0]]]
    """
    place = (mask.cumsum(dim=1) - 1)[:, None]
    number = mask.sum(dim=1)[:, None, None]
    span = torch.arange(spans, device=mask.device)[None, :, None]
    start = torch.div(span * number, spans, rounding_mode="floor")
    end = torch.div((span + 1) * number + spans - 1, spans, rounding_mode="floor")
    inside = ((place >= start) & (place < end) & mask[:, None]).float()
    return inside / inside.sum(dim=-1, keepdim=True).clamp(min=1.0)


class TGQFormerHybridQueryConnector(nn.Module):
    """The paper's connector: metadata-anchored and exploratory queries share one Q-Former; each stream is gated."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width = config.connector_hidden_size
        self.exploratory_queries = nn.Parameter(torch.empty(config.num_exploratory_queries, width))
        self.metadata_queries = TGQFormerMetadataQueries(config) if config.num_metadata_queries else None
        self.q_former = TGQFormerQFormer(config)
        self.metadata_gate = self.exploratory_gate = None
        if config.gated:
            # Only the metadata gate reads the agreement of title and image: its stream alone is built from the title.
            cosine, image, stream = (1, 1.0), (config.shared_width, 1.0), (width, width**0.5)
            self.exploratory_gate = TGQFormerGate(config, [image, stream])
            if config.num_metadata_queries:
                self.metadata_gate = TGQFormerGate(config, [cosine, image, stream, stream])
        self.projector = MLP(width, width, config.token_width, config.hidden_act)

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Draw the exploratory queries."""
        init.normal_(self.exploratory_queries, std=config.initializer_range)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        """Compute visual tokens; see [`TGQFormerConnector.forward`] for arguments."""
        queries = self.exploratory_queries.expand(image_tokens.shape[0], -1, -1)
        num_metadata = 0
        if self.metadata_queries is not None:
            anchored = self.metadata_queries(title_tokens, title_mask)
            queries, num_metadata = torch.cat([anchored.to(queries.dtype), queries], dim=1), anchored.shape[1]
        states = self.q_former(queries, image_tokens)
        metadata, exploratory = states[:, :num_metadata], states[:, num_metadata:]
        summary = exploratory.mean(dim=1)
        metadata_beta = exploratory_beta = None
        if self.metadata_gate is not None:
            signals = [agreement[:, None], image_embeds, metadata.mean(dim=1), summary]
            metadata, metadata_beta = self.metadata_gate(metadata, signals)
        if self.exploratory_gate is not None:
            exploratory, exploratory_beta = self.exploratory_gate(exploratory, [image_embeds, summary])
        return TGQFormerConnectorOutput(
            tokens=self.projector(torch.cat([metadata, exploratory], dim=1)),
            metadata=metadata if num_metadata else None,
            exploratory=exploratory,
            metadata_gate=metadata_beta,
            exploratory_gate=exploratory_beta,
        )
