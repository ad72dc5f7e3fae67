"""The inverse temperature: bounded in the forward pass, clamped after optimizer steps."""

import math

import pytest
import torch
from tiny import tiny_inputs, tiny_model
from tiny_tgq import tiny_tgq_inputs, tiny_tgq_model

from tiger_fg_hf.models.temperature import bounded_scale, clamp_scale_

MAXIMUM = 20.0


@pytest.fixture(params=["tiger_fg", "tgq_former"])
def model(request):
    make = tiny_model if request.param == "tiger_fg" else tiny_tgq_model
    return make(logit_scale_max=MAXIMUM)


def logit_scale(model) -> torch.nn.Parameter:
    return model.temperature.logit_scale if hasattr(model, "temperature") else model.logit_scale


def scale_of(model) -> torch.Tensor:
    inputs = tiny_tgq_inputs() if hasattr(model, "temperature") else tiny_inputs()
    return model(**inputs).logit_scale


@pytest.mark.parametrize("raw", [7.0, 800.0])
def test_old_checkpoints_beyond_the_bound_give_the_bound(model, raw):
    with torch.no_grad():
        logit_scale(model).fill_(raw)
    assert scale_of(model).item() == pytest.approx(MAXIMUM, rel=1e-6)


def test_a_clamped_parameter_learns_at_the_bound(model):
    """In place and at once; the gradient pulls it back."""
    parameter = logit_scale(model)
    with torch.no_grad():
        parameter.fill_(800.0)
    model.clamp_logit_scale_()
    assert logit_scale(model) is parameter
    assert parameter.requires_grad
    assert parameter.item() == pytest.approx(math.log(MAXIMUM))
    scale = scale_of(model)
    scale.backward()
    assert scale.item() == pytest.approx(MAXIMUM, rel=1e-6)
    assert parameter.grad.item() == pytest.approx(MAXIMUM, rel=1e-6)
    torch.optim.SGD([parameter], lr=0.01).step()
    assert scale_of(model) < MAXIMUM


def test_below_the_bound_nothing_is_clamped(model):
    with torch.no_grad():
        logit_scale(model).fill_(1.5)
    model.clamp_logit_scale_()
    assert logit_scale(model).item() == 1.5
    assert scale_of(model).item() == pytest.approx(math.exp(1.5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("maximum", [20.0, 100.0])
def test_finite_and_learning_in_half_precision(dtype, maximum):
    parameter = torch.nn.Parameter(torch.tensor(800.0, dtype=dtype))
    assert bounded_scale(parameter, maximum).item() == pytest.approx(maximum, rel=0.02)
    clamp_scale_(parameter, maximum)
    scale = bounded_scale(parameter, maximum)
    scale.backward()
    assert torch.isfinite(parameter.grad)
    assert parameter.grad > 0
