"""Connectors that TGQ-Former is compared with; none of them reads the title."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_tgq_former import TGQFormerConfig
from .connector_tgq_former import TGQFormerCrossAttention, TGQFormerQFormer
from .layers import MLP
from .outputs_tgq_former import TGQFormerConnectorOutput


class TGQFormerMLPConnector(nn.Module):
    """Map every image token to the width of the language model with two layers, as LLaVA does."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.image_width, eps=config.layer_norm_eps)
        self.mlp = MLP(config.image_width, config.connector_intermediate_size, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        """Compute visual tokens; see [`TGQFormerConnector.forward`] for arguments."""
        return TGQFormerConnectorOutput(tokens=self.mlp(self.norm(image_tokens)))


class _LearnedQueries(nn.Module):
    """Base class of connectors whose queries are all learned: as many as TGQ-Former has of both kinds together."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        number = config.num_metadata_queries + config.num_exploratory_queries
        self.exploratory_queries = nn.Parameter(torch.empty(number, config.connector_hidden_size))

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Draw the queries."""
        init.normal_(self.exploratory_queries, std=config.initializer_range)


class TGQFormerLearnedQueryConnector(_LearnedQueries):
    """Plain Q-Former, as in BLIP-2."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        width = config.connector_hidden_size
        self.q_former = TGQFormerQFormer(config)
        self.projector = MLP(width, width, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        """Compute visual tokens; see [`TGQFormerConnector.forward`] for arguments."""
        queries = self.exploratory_queries.expand(image_tokens.shape[0], -1, -1)
        return TGQFormerConnectorOutput(tokens=self.projector(self.q_former(queries, image_tokens)))


class TGQFormerResamplerLayer(GradientCheckpointingLayer):
    """Perceiver-Resampler layer, as in Flamingo: latents attend to the image and to themselves at once."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width, eps = config.connector_hidden_size, config.layer_norm_eps
        self.latent_norm = nn.LayerNorm(width, eps=eps)
        self.image_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attn = TGQFormerCrossAttention(
            config, width, config.connector_num_attention_heads, dropout=config.connector_dropout
        )
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.connector_intermediate_size, width, config.hidden_act)
        self.dropout = nn.Dropout(config.connector_dropout)

    def forward(self, latents: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        """Update latents `[B, Q, d]` from image tokens `[B, N, d]`."""
        states = self.latent_norm(latents)
        read, _ = self.cross_attn(states, torch.cat([self.image_norm(image_tokens), states], dim=1))
        latents = latents + self.dropout(read)
        return latents + self.dropout(self.mlp(self.mlp_norm(latents)))


class TGQFormerPerceiverResampler(_LearnedQueries):
    """Perceiver Resampler, as in Flamingo."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        width = config.connector_hidden_size
        self.image_projection = nn.Linear(config.image_width, width)
        self.layers = nn.ModuleList(TGQFormerResamplerLayer(config) for _ in range(config.connector_num_layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.projector = MLP(width, width, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        """Compute visual tokens; see [`TGQFormerConnector.forward`] for arguments."""
        image_tokens = self.image_projection(image_tokens)
        latents = self.exploratory_queries.expand(image_tokens.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, image_tokens)
        return TGQFormerConnectorOutput(tokens=self.projector(self.norm(latents)))


class TGQFormerLateFusion(nn.Module):
    """NoteLLM-2's gate: `z = σ(W [v; t])`, `z v + (1 − z) t` for mean visual token v and text embedding t."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width = config.text_config.hidden_size
        if config.token_width != width:
            raise ValueError(
                "The notellm2 connector adds visual tokens to the language model's output: both must be equally wide, "
                f"got {config.token_width} and {width}."
            )
        self.gate = nn.Linear(2 * width, width)

    def forward(self, visual: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Mix `visual` and `text`, both `[B, d]`."""
        share = self.gate(torch.cat([visual, text], dim=-1)).sigmoid()
        return share * visual + (1 - share) * text
