"""`L_SRD`: relations among the patches of a region, compared with a reference in plain Python."""

import pytest
import torch
from loss_checks import assert_computed_in_float32, close, cosine, divergence, flags, mean

from tiger_fg_hf.models.patch_grid import patches_in_boxes
from tiger_fg_hf.objectives.region import sample_region
from tiger_fg_hf.objectives.relation_distillation import relation_distillation_rows

# The third region has one patch and so no relations; the last has two and so no choice among relations.
INSIDE = torch.stack([flags("++-+-+"), flags("++++++"), flags("--+---"), flags("----++")])


def patches(width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 6, width, generator=generator).requires_grad_()


def rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(9))).Q


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("teacher_width", [5, 9])
@pytest.mark.parametrize("self_relations", [False, True])
def test_equals_the_reference(temperature, teacher_width, self_relations):
    """The teacher's features may have another width, since only relations are compared."""
    student, teacher = patches(5, 0), patches(teacher_width, 1)
    settings = {"temperature": temperature, "self_relations": self_relations}
    rows = relation_distillation_rows(student, teacher, INSIDE, **settings)
    for row, inside in enumerate(INSIDE):
        places = inside.nonzero().flatten()
        s, t = student[row, places].tolist(), teacher[row, places].tolist()
        expected = []
        for i in range(len(places)):
            others = [j for j in range(len(places)) if j != i or self_relations]
            expected.append(
                divergence(
                    [cosine(t[i], t[j]) / temperature for j in others],
                    [cosine(s[i], s[j]) / temperature for j in others],
                )
            )
        assert rows[row].item() == close(mean(expected))
    assert rows.dtype == torch.float32


def test_equal_relations_have_no_loss():
    """Scaling each patch and rotating all of them keeps their relations."""
    student = patches(5, 0)
    scales = torch.rand(4, 6, 1, generator=torch.Generator().manual_seed(2)) + 0.1
    loss = relation_distillation_rows(student, scales * student @ rotation(5), INSIDE)
    assert loss.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert gradient.abs().max() < 1e-4


def test_scale_and_rotation_of_either_change_nothing():
    student, teacher = patches(5, 0), patches(9, 1)
    expected = relation_distillation_rows(student, teacher, INSIDE)
    moved = relation_distillation_rows(7 * student @ rotation(5), 0.01 * teacher @ rotation(9), INSIDE)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-6)
    assert expected[1] > 0.01


@pytest.mark.parametrize("row", [2, 3])
def test_a_region_of_one_or_two_patches_has_no_loss(row):
    """Exactly 0, without gradient."""
    student, teacher = patches(5, 0), patches(5, 1)
    loss = relation_distillation_rows(student, teacher, INSIDE)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert loss[row].item() == 0.0
    assert torch.equal(gradient[row], torch.zeros(6, 5))


def test_self_relations_drown_the_others_at_a_low_temperature():
    """Relations of dissimilar patches count for little beside a self-relation of 1."""
    student = torch.eye(6)[None] + 0.2 * patches(6, 0)[:1].detach()
    teacher = torch.eye(6)[None] + 0.2 * patches(6, 1)[:1].detach()
    inside = torch.ones(1, 6, dtype=torch.bool)
    assert relation_distillation_rows(student, teacher, inside).item() > 0.5
    assert relation_distillation_rows(student, teacher, inside, self_relations=True).item() < 0.05


def test_only_patches_inside_matter():
    student, teacher = patches(5, 0), patches(5, 1)
    loss = relation_distillation_rows(student, teacher, INSIDE)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert torch.equal(gradient[~INSIDE], torch.zeros_like(gradient[~INSIDE]))
    assert (gradient[:2][INSIDE[:2]].norm(dim=-1) > 0).all()
    noise = torch.where(INSIDE[..., None], 0.0, 100 * patches(5, 3))
    assert torch.equal(relation_distillation_rows(student + noise, teacher - noise, INSIDE), loss)


def test_is_zero_without_patches_inside():
    student = patches(5, 0)
    loss = relation_distillation_rows(student, patches(5, 1), torch.zeros_like(INSIDE))
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert torch.equal(loss, torch.zeros(4))
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_the_teacher_has_no_gradient():
    student, teacher = patches(5, 0), patches(5, 1)
    loss = relation_distillation_rows(student, teacher, INSIDE).sum()
    assert torch.autograd.grad(loss, teacher, allow_unused=True) == (None,)


def test_descent_brings_the_relations_together():
    student, teacher = patches(5, 0).detach().requires_grad_(), patches(5, 1)
    optimizer = torch.optim.Adam([student], lr=0.05)
    losses = []
    for _ in range(60):
        losses.append(relation_distillation_rows(student, teacher, INSIDE).sum())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("teacher_grid", [(8, 8), (3, 5)])
def test_a_teacher_of_another_grid(teacher_grid):
    """If teacher and student see the same in the crop and in the box, the loss is 0, whatever the teacher's grid."""
    box, grid = torch.tensor([[0.25, 0.0, 0.75, 1.0]]), (6, 8)
    inside = patches_in_boxes(box, grid)
    crop = torch.randn(1, *teacher_grid, 4, generator=torch.Generator().manual_seed(0))
    seen = sample_region(crop, box, grid)
    assert relation_distillation_rows(3 * seen @ rotation(4), seen, inside).item() == pytest.approx(0, abs=1e-5)
    assert relation_distillation_rows(seen.flip(1), seen, inside).item() > 0.01


def test_is_computed_in_float32():
    assert_computed_in_float32(lambda s, t: relation_distillation_rows(s, t, INSIDE), patches(5, 0), patches(9, 1))
