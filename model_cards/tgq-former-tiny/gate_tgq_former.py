"""Gates of TGQ-Former, which modulate a stream by signals about image and title (paper: dual-gated modulation)."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_tgq_former import TGQFormerConfig


class TGQFormerGateInput(nn.Linear):
    """First layer of a gate.

    Initialized so that all signals weigh the same; otherwise vectors of hundreds of numbers would swamp the cosine.

    Args:
        signals: Width and typical norm of each signal.
        out_features: Width of the output.
    """

    def __init__(self, signals: list[tuple[int, float]], out_features: int):
        super().__init__(sum(width for width, _ in signals), out_features)
        self.signals = signals

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Draw weights whose standard deviation makes each signal contribute the same variance."""
        scales = [torch.full((width,), 1 / (length * len(self.signals) ** 0.5)) for width, length in self.signals]
        init.copy_(self.weight, torch.randn_like(self.weight) * torch.cat(scales).to(self.weight))
        init.zeros_(self.bias)

    @torch.no_grad()
    def standardise_first(self, mean: float, std: float) -> None:
        """Change the weights so that the first signal acts as if it were standardized by `mean` and `std`."""
        self.weight[:, 0] /= std
        self.bias -= self.weight[:, 0] * mean


class TGQFormerGateOutput(nn.Linear):
    """Last layer of a gate; zero at initialization, so that modulation starts as the identity."""

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Set weights and bias to zero."""
        init.zeros_(self.weight)
        init.zeros_(self.bias)


class TGQFormerGate(nn.Module):
    """Scale a stream channel by channel: `Ẽ = E · (1 + β)`, with `β = 2σ(G(u)) − 1` in [-1, 1]."""

    def __init__(self, config: TGQFormerConfig, signals: list[tuple[int, float]]):
        super().__init__()
        self.hidden = TGQFormerGateInput(signals, config.gate_hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.output = TGQFormerGateOutput(config.gate_hidden_size, config.connector_hidden_size)

    def forward(self, stream: torch.Tensor, signals: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulate a stream `[B, K, d]` by signals `[B, ...]`; return it and `β` `[B, d]`."""
        signal = torch.cat([part.to(stream.dtype) for part in signals], dim=-1)
        beta = 2 * self.output(self.activation(self.hidden(signal))).sigmoid() - 1
        return stream * (1 + beta[:, None]), beta
