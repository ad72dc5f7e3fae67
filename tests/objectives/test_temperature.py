"""The bound of the temperature, which every student enforces after each optimizer step."""

import math

import pytest
import torch
from student_cases import task_batch, tiny_student
from tiny_tgq import DUAL, tiny_pair_batch, tiny_tgq_model
from transformers import AutoModel

from tiger_fg_hf.objectives.dual_encoder_student import DualEncoderStudent
from tiger_fg_hf.objectives.task import Student
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.training.lora import add_lora

BOUND = math.log(100.0)
STUDENTS = {
    "tiger_fg": (tiny_student, task_batch),
    "tgq_former": (lambda: TGQFormerStudent(tiny_tgq_model()), tiny_pair_batch),
    "tgq_former with adapters": (lambda: TGQFormerStudent(add_lora(tiny_tgq_model())), tiny_pair_batch),
    "clip": (lambda: DualEncoderStudent(AutoModel.from_config(DUAL["clip"]())), tiny_pair_batch),
    "siglip": (lambda: DualEncoderStudent(AutoModel.from_config(DUAL["siglip"]())), tiny_pair_batch),
}


@pytest.fixture(params=list(STUDENTS))
def case(request) -> tuple[Student, dict, torch.nn.Parameter]:
    """A student, a batch for it, and its raw temperature, the logarithm of the scale."""
    if "adapters" in request.param:
        pytest.importorskip("peft", reason="adapters need the extra 'lora'")
    make, batch = STUDENTS[request.param]
    student = make()
    # Neither that of TGQ-Former's frozen dual encoder, nor the copy from which adapters started.
    (raw,) = (
        value
        for name, value in student.named_parameters()
        if name.endswith("logit_scale") and "dual_encoder" not in name and "original_module" not in name
    )
    return student, batch(), raw


def scale_of(student: Student, batch: dict) -> torch.Tensor:
    scale = student(**batch)["logit_scale"]
    assert scale.ndim == 0
    return scale


def test_comes_back_from_past_its_bound(case):
    """After one step, with a gradient that leads further back."""
    student, batch, raw = case
    with torch.no_grad():
        raw.fill_(BOUND + 2)
    assert scale_of(student, batch).item() == pytest.approx(100.0, rel=1e-5)
    student.after_step()
    assert raw.item() == pytest.approx(BOUND, rel=1e-6)
    scale = scale_of(student, batch)
    scale.backward()
    assert raw.grad.item() == pytest.approx(scale.item()) == pytest.approx(100.0, rel=1e-5)


def test_below_its_bound_it_is_left_alone(case):
    student, _, raw = case
    with torch.no_grad():
        raw.fill_(2.5)
    student.after_step()
    assert raw.item() == 2.5


def test_cannot_starve_the_other_weights_of_gradient(case):
    """However long a loss pushes it up, its gradient, and so its share of a clipped norm, stays that of the bound."""
    student, batch, raw = case
    with torch.no_grad():
        raw.fill_(BOUND - 1)
    optimizer = torch.optim.SGD([raw], lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (-scale_of(student, batch)).backward()
        assert 0 < raw.grad.abs().item() < 100.1
        optimizer.step()
        student.after_step()
    assert raw.item() == pytest.approx(BOUND, rel=1e-6)
