"""Losses in plain Python, row by row, and the properties that every contrastive loss here has."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch.nn import functional as F


def unit_rows(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """L2-normalised random rows that ask for gradients."""
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(rows, dim=-1).to(dtype).requires_grad_()


def flags(text: str) -> torch.Tensor:
    """Booleans: "+" is True."""
    return torch.tensor([letter == "+" for letter in text])


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def surprise(anchor, positive, negatives, scale: float) -> float:
    """`-log p(positive | anchor)` among the positive and the negatives."""
    scores = [scale * dot(anchor, candidate) for candidate in [positive, *negatives]]
    top = max(scores)
    return top + math.log(sum(math.exp(score - top) for score in scores)) - scores[0]


def divergence(teacher: Sequence[float], student: Sequence[float]) -> float:
    """`KL(softmax(teacher) ‖ softmax(student))` of two lists of logits."""
    teacher, student = ([math.exp(x - max(scores)) for x in scores] for scores in (teacher, student))
    return sum(
        t / sum(teacher) * math.log((t / sum(teacher)) / (s / sum(student)))
        for t, s in zip(teacher, student, strict=True)
    )


def mean(values: Sequence[float]) -> float:
    """0 of none."""
    return sum(values) / max(len(values), 1)


def assert_mean_over_processes_is_the_whole_batch(
    loss: Callable[[slice], torch.Tensor], rows: int, world_size: int, inputs: Sequence[torch.Tensor]
) -> None:
    """
    Value and gradients of the mean over processes, each of which computes `loss` for its slice of `rows` rows.

    The sum of the processes' gradients with respect to shared tensors is what a differentiable gather gives.
    """
    whole = loss(slice(0, rows))
    expected = torch.autograd.grad(whole, inputs, materialize_grads=True)
    share = rows // world_size
    parts = torch.stack([loss(slice(rank * share, (rank + 1) * share)) for rank in range(world_size)]).mean()
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(parts, inputs, materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert whole == 0 or any(gradient.abs().max() > 1e-3 for gradient in expected)


def assert_computed_in_float32(loss: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    """bfloat16 inputs give what the same numbers give in float32, gradients are finite, autocast rounds nothing."""
    inputs = [tensor.detach().bfloat16().requires_grad_() for tensor in inputs]
    wide = [tensor.detach().float() for tensor in inputs]
    expected = loss(*wide)
    found = loss(*inputs)
    assert found.dtype == torch.float32
    assert found.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    for gradient in torch.autograd.grad(found.sum(), inputs, allow_unused=True):
        assert gradient is None or torch.isfinite(gradient).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(*wide), expected)


def assert_exactly_nothing(loss: torch.Tensor, inputs: Sequence[torch.Tensor]) -> None:
    """0, with gradients of 0: not merely small, and not a number either."""
    assert loss.item() == 0.0
    for gradient in torch.autograd.grad(loss, inputs, allow_unused=True):
        assert gradient is None or torch.equal(gradient, torch.zeros_like(gradient))


def close(value: float):
    return pytest.approx(value, rel=1e-5, abs=1e-6)
