"""`L_rr`, compared with a loop over channels, and its limits."""

import math

import pytest
import torch

from tiger_fg_hf.objectives.redundancy import redundancy_loss


def streams(rows=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, width, generator=generator, dtype=torch.float64).float() for _ in range(2))


def slow(first, second):
    """Pearson's correlation, channel by channel."""
    rows, width = first.shape
    total = 0.0
    for channel in range(width):
        a, b = first[:, channel].tolist(), second[:, channel].tolist()
        mean_a, mean_b = sum(a) / rows, sum(b) / rows
        covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
        deviation = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
        total += (covariance / deviation) ** 2
    return total / width


@pytest.mark.parametrize("rows", [2, 3, 6, 50])
def test_is_the_mean_squared_correlation_of_the_channels(rows):
    first, second = streams(rows)
    assert redundancy_loss(first, second).item() == pytest.approx(slow(first, second), rel=1e-3)


def test_only_the_diagonal_counts():
    """Channel 0 of one stream may equal channel 1 of the other."""
    first, second = streams(200)
    before = redundancy_loss(first, second)
    second[:, 1] = first[:, 0]
    assert redundancy_loss(first, second).item() == pytest.approx(before.item(), abs=0.02)
    second[:, 0] = first[:, 0]
    assert redundancy_loss(first, second).item() == pytest.approx(before.item() + 1 / 5, abs=0.02)


def test_scale_and_shift_change_nothing():
    first, second = streams(20)
    moved = redundancy_loss(first * torch.linspace(1, 30, 5) + 7, -4 * second - 2)
    torch.testing.assert_close(moved, redundancy_loss(first, second), rtol=1e-3, atol=0)


def test_limits():
    first, second = streams(20)
    assert redundancy_loss(first, first).item() == pytest.approx(1.0, abs=1e-3)
    assert redundancy_loss(first, -first).item() == pytest.approx(1.0, abs=1e-3)
    assert redundancy_loss(first[:1], second[:1]).item() == 0.0
    assert redundancy_loss(first, torch.ones_like(second)).item() == 0.0


def test_gradients_are_finite_and_lower_it():
    for rows in (1, 2, 20):
        first, second = (stream.requires_grad_() for stream in streams(rows))
        loss = redundancy_loss(first, second)
        loss.backward()
        assert torch.isfinite(first.grad).all()
        assert torch.isfinite(second.grad).all()
    with torch.no_grad():
        assert redundancy_loss(first - 5 * first.grad, second) < loss


def test_bfloat16_streams_under_autocast():
    first, second = streams(20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = redundancy_loss(first.bfloat16(), second.bfloat16())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(slow(first, second), rel=0.05)


def test_streams_of_different_shape_are_an_error():
    with pytest.raises(ValueError, match=r"differ in shape: \(6, 5\) and \(6, 4\)"):
        redundancy_loss(streams()[0], streams(width=4)[1])
