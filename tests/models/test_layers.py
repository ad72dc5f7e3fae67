"""Layers that both model families use."""

import pytest
import torch

from tiger_fg_hf.models.layers import l2_normalize


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1e-4, 1.0, 300.0])
def test_unit_length_in_every_dtype(dtype, size):
    """Squares of half-precision numbers overflow, or round to zero."""
    torch.manual_seed(0)
    states = (size * torch.randn(4, 512)).to(dtype)
    normalised = l2_normalize(states)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(normalised, torch.nn.functional.normalize(states.double(), dim=-1).float())
