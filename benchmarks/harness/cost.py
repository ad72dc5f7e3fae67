"""What one forward pass of a tower costs: the parameters it uses, and its floating-point operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class Cost(NamedTuple):
    """Parameters that took part, and billions of floating-point operations, an addition and a product being two."""

    parameters: int
    gflops: float


def measure_cost(model: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> Cost:
    """
    Cost of one forward pass.

    A parameter counts if the result depends on it, so that mask tokens, pooling heads and the other tower do not.

    Args:
        model: in eval mode; left as it was.
        forward: a pass of a tower of it over one input.
    """
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(True)
    try:
        # The counter knows matrix products, but not every fused attention kernel: attention runs as products here.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            output = forward()
        gradients = torch.autograd.grad(output.sum(), list(wanted), allow_unused=True)
    finally:
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)
    used = sum(p.numel() for p, gradient in zip(wanted, gradients, strict=True) if gradient is not None)
    return Cost(used, counter.get_total_flops() / 1e9)
