"""The connectors that TGQ-Former is compared with; none of them knows the title."""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_tgq_former import TGQFormerConfig
from .connector_tgq_former import TGQFormerConnectorOutput, TGQFormerCrossAttention, TGQFormerMLP, TGQFormerQFormer


class TGQFormerMLPConnector(nn.Module):
    """Every image token, brought to the language model's width by two layers, as in LLaVA."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.image_width, eps=config.layer_norm_eps)
        self.mlp = TGQFormerMLP(
            config.image_width,
            config.connector_intermediate_size,
            config.token_width,
            config.hidden_act,
        )

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        return TGQFormerConnectorOutput(tokens=self.mlp(self.norm(image_tokens)))


class TGQFormerLearnedQueryConnector(nn.Module):
    """Plain Q-Former, as in BLIP-2: as many queries as TGQ-Former has, all of them learned."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width = config.connector_hidden_size
        number = config.num_metadata_queries + config.num_exploratory_queries
        self.exploratory_queries = nn.Parameter(torch.empty(number, width))
        self.q_former = TGQFormerQFormer(config)
        self.projector = TGQFormerMLP(width, width, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        states = self.q_former(self.exploratory_queries.expand(len(image_tokens), -1, -1), image_tokens)
        return TGQFormerConnectorOutput(tokens=self.projector(states))


class TGQFormerResamplerLayer(GradientCheckpointingLayer):
    """Perceiver-Resampler layer, as in Flamingo: latents attend to the image and to themselves at once."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width, eps = config.connector_hidden_size, config.layer_norm_eps
        self.latent_norm = nn.LayerNorm(width, eps=eps)
        self.image_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attn = TGQFormerCrossAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = TGQFormerMLP(width, config.connector_intermediate_size, width, config.hidden_act)
        self.dropout = nn.Dropout(config.connector_dropout)

    def forward(self, latents: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        states = self.latent_norm(latents)
        read, _ = self.cross_attn(states, torch.cat([self.image_norm(image_tokens), states], dim=1))
        latents = latents + self.dropout(read)
        return latents + self.dropout(self.mlp(self.mlp_norm(latents)))


class TGQFormerPerceiverResampler(nn.Module):
    """As many learned latents as TGQ-Former has queries."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        width = config.connector_hidden_size
        number = config.num_metadata_queries + config.num_exploratory_queries
        self.exploratory_queries = nn.Parameter(torch.empty(number, width))
        self.image_projection = nn.Linear(config.image_width, width)
        self.layers = nn.ModuleList(TGQFormerResamplerLayer(config) for _ in range(config.connector_num_layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.projector = TGQFormerMLP(width, width, config.token_width, config.hidden_act)

    def forward(self, image_tokens, image_embeds, title_tokens, title_mask, agreement) -> TGQFormerConnectorOutput:
        image_tokens = self.image_projection(image_tokens)
        latents = self.exploratory_queries.expand(len(image_tokens), -1, -1)
        for layer in self.layers:
            latents = layer(latents, image_tokens)
        return TGQFormerConnectorOutput(tokens=self.projector(self.norm(latents)))


class TGQFormerLateFusion(nn.Module):
    """NoteLLM-2's: `z = σ(W [v; t])`, `z v + (1 − z) t`, of the mean visual token v and the text embedding t."""

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
        share = self.gate(torch.cat([visual, text], dim=-1)).sigmoid()
        return share * visual + (1 - share) * text
