"""Attention from queries to tokens of another kind, and its masks; shared by both model families."""

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


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
    """Compute attention and return its weights, with the interface of `ALL_ATTENTION_FUNCTIONS`."""
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = nn.functional.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class Attention(nn.Module):
    """Multi-head attention from queries `[B, Q, width]` to tokens `[B, N, token_width]`.

    Args:
        config: Model configuration; its `_attn_implementation` is read at every call.
        width: Width of the queries and of the output.
        num_heads: Number of heads; divides `width`.
        token_width: Width of the tokens; `width` by default.
        dropout: Dropout of the attention weights in training, in [0, 1).
    """

    linear: type[nn.Linear] = nn.Linear

    def __init__(
        self,
        config: PreTrainedConfig,
        width: int,
        num_heads: int,
        token_width: int | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.config = config
        self.head_dim = width // num_heads
        self.scaling = self.head_dim**-0.5
        self.dropout = dropout
        self.is_causal = False
        self.q_proj = self.linear(width, width)
        self.k_proj = self.linear(token_width or width, width)
        self.v_proj = self.linear(token_width or width, width)
        self.out_proj = self.linear(width, width)

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the output `[B, Q, width]` and, in eager mode, the attention weights `[B, heads, Q, N]`."""

        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

        # Flash attention expects queries and keys with the same padding, which does not hold here, and gains nothing
        # with so few queries. Every implementation except eager therefore runs SDPA.
        eager = self.config._attn_implementation == "eager"
        attend = ALL_ATTENTION_FUNCTIONS.get_interface("eager" if eager else "sdpa", eager_attention_forward)
        output, weights = attend(
            self,
            heads(self.q_proj(queries)),
            heads(self.k_proj(tokens)),
            heads(self.v_proj(tokens)),
            attention_mask,
            scaling=self.scaling,
            dropout=self.dropout if self.training else 0.0,
            is_causal=False,
        )
        return self.out_proj(output.flatten(2)), weights


def unmask_empty_rows(mask: torch.Tensor) -> torch.Tensor:
    """Unmask the first token of fully masked rows, because a softmax over nothing is NaN.

    Args:
        mask: Boolean `[B, L]`, `True` at real tokens.

    Returns:
        Boolean `[B, L]` with at least one `True` in each row.

    Example:
        >>> import torch
        >>> unmask_empty_rows(torch.tensor([[True, True], [False, False]])).tolist()
        [[True, True], [True, False]]
    """
    empty = ~mask.any(dim=-1, keepdim=True)
    first = torch.arange(mask.shape[-1], device=mask.device) == 0
    return mask | (empty & first)


def additive_mask(mask: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Turn a boolean mask `[B, N]` into `[B, 1, Q, N]`, to add to the attention scores of `queries` `[B, Q, d]`.

    Returns:
        0 where `mask` is `True`, the lowest number of the dtype of `queries` elsewhere.
    """
    additive = torch.zeros(mask.shape, dtype=queries.dtype, device=queries.device)
    additive = additive.masked_fill(~mask.to(queries.device), torch.finfo(queries.dtype).min)
    return additive[:, None, None, :].expand(-1, -1, queries.shape[1], -1)
