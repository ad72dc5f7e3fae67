"""Cost of one forward pass: parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class Cost(NamedTuple):
    """Cost of one forward pass.

    Attributes:
        parameters: number of parameters that the output depends on.
        gflops: billions of floating-point operations; a multiplication and an addition count as two.
    """

    parameters: int
    gflops: float


def measure_cost(model: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> Cost:
    """Measure one forward pass.

    A parameter counts if the output depends on it: mask tokens, pooling heads and the other tower do not.

    Args:
        model: model in eval mode; left unchanged.
        forward: runs a tower of the model on one input.
    """
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(True)
    try:
        # The counter does not know every fused attention kernel, so attention runs as matrix products.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            output = forward()
        gradients = torch.autograd.grad(output.sum(), list(wanted), allow_unused=True)
    finally:
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)
    used = sum(p.numel() for p, gradient in zip(wanted, gradients, strict=True) if gradient is not None)
    return Cost(used, counter.get_total_flops() / 1e9)
