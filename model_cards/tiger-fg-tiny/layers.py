"""Small layers and functions shared by both model families."""

import torch
from torch import nn
from transformers.activations import ACT2FN


class MLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int, activation: str):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.activation = ACT2FN[activation]
        self.fc2 = nn.Linear(hidden_features, out_features)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map `[..., in_features]` to `[..., out_features]`."""
        return self.fc2(self.activation(self.fc1(states)))


def l2_normalize(states: torch.Tensor) -> torch.Tensor:
    """Scale vectors `[..., D]` to unit length.

    Computes and returns float32, whatever the dtype of `states`: in half precision, squares may overflow or vanish.

    Example:
        >>> import torch
        >>> l2_normalize(torch.tensor([[300.0, 400.0]], dtype=torch.float16))
        tensor([[0.6000, 0.8000]])
    """
    return nn.functional.normalize(states.float(), dim=-1)
