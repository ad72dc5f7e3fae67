"""The learnable inverse temperature `exp(logit_scale)` and its upper bound."""

import math

import torch


def bounded_scale(logit_scale: torch.Tensor, maximum: float) -> torch.Tensor:
    """Return `exp(logit_scale)`, at most `maximum`, as a float32 scalar.

    The bound is applied before `exp`, so the result is finite in half precision. The gradient passes at the bound and
    is zero beyond it; call [`clamp_scale_`] after each optimizer step to keep the parameter within the bound.

    Example:
        >>> import torch
        >>> bounded_scale(torch.tensor(800.0), 20.0)
        tensor(20.)
    """
    return logit_scale.clamp(max=math.log(maximum)).float().exp()


@torch.no_grad()
def clamp_scale_(logit_scale: torch.Tensor, maximum: float) -> None:
    """Clamp the parameter in place so that `exp(logit_scale)` is at most `maximum`."""
    logit_scale.clamp_(max=math.log(maximum))
