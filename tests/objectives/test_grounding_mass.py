"""`L_grounding`: the share of the grounding map inside the target's box."""

import math
from dataclasses import replace

import pytest
import torch
from loss_checks import assert_computed_in_float32, close
from student_cases import task_batch, tiny_baseline, tiny_student, without

from tiger_fg_hf.models.patch_grid import patches_in_boxes
from tiger_fg_hf.objectives.grounding_mass import grounding_mass_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudentOutputs
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

ALONE = TigerFGLossWeights(q2i=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, hard=False, grounding=1.0)


def task_of(weights=ALONE, **kwargs) -> TigerFGTask:
    return TigerFGTask(tiny_student(weights.student_outputs(), **kwargs), weights)


def batch_of(**kwargs) -> dict[str, torch.Tensor]:
    return without(task_batch(**kwargs), "teacher_region")


def maps(rows: int = 4, grid: tuple[int, int] = (3, 5)) -> torch.Tensor:
    scores = torch.randn(rows, *grid, generator=torch.Generator().manual_seed(0))
    return scores.flatten(1).softmax(-1).view(rows, *grid)


BOXES = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.2, 0.0, 0.6, 0.5], [0.9, 0.9, 0.95, 0.95], [0.5, 0.1, 1.0, 0.9]])


def test_equals_the_reference():
    grounding = maps()
    found = grounding_mass_rows(grounding, BOXES)
    for row, (x0, y0, x1, y1) in enumerate(BOXES.tolist()):
        cells = {
            (y, x)
            for y in range(3)
            for x in range(5)
            if (x0 <= (x + 0.5) / 5 < x1 and y0 <= (y + 0.5) / 3 < y1)
            or (y, x) == (int((y0 + y1) / 2 * 3), int((x0 + x1) / 2 * 5))
        }
        assert found[row].item() == close(-math.log(sum(grounding[row, y, x].item() for y, x in cells)))


def test_a_map_off_its_box_has_a_finite_loss_and_gradient():
    scores = torch.tensor([[60.0, 0.0], [300.0, 0.0]], requires_grad=True)
    right = torch.tensor([[0.5, 0.0, 1.0, 1.0]]).expand(2, 4)
    losses = grounding_mass_rows(scores.softmax(-1)[:, None], right)
    assert losses[0].item() == close(60.0)
    assert torch.isfinite(losses).all()
    (gradient,) = torch.autograd.grad(losses.sum(), scores)
    assert gradient[0].tolist() == pytest.approx([1.0, -1.0])
    assert torch.isfinite(gradient).all()


def test_is_computed_in_float32():
    assert_computed_in_float32(lambda grounding: grounding_mass_rows(grounding, BOXES), maps())


def test_is_the_mean_over_rows_with_text_and_box():
    task, batch = task_of(), batch_of()
    batch["attention_mask"][2] = 0
    inputs = {name: batch[name] for name in ("query_pixel_values", "pixel_values", "input_ids", "attention_mask")}
    grounding = task.student.model(**inputs).grounding
    inside = patches_in_boxes(batch["boxes"], grounding.shape[1:])
    rows = [row for row in range(5) if batch["has_box"][row] and row != 2]
    assert rows == [0, 3, 4]
    expected = sum(-math.log(grounding[row].flatten()[inside[row]].sum().item()) for row in rows) / 3
    losses = task(batch)
    assert losses["grounding"].item() == close(expected)
    other = batch | {"boxes": batch["boxes"].clone()}
    other["boxes"][[1, 2]] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert task(other)["grounding"].item() == losses["grounding"].item()


def test_trains_where_the_tower_looks():
    task = task_of()
    loss = task(batch_of())["loss"]
    parameters = dict(task.student.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    trained = {name for name, value in zip(parameters, gradients, strict=True) if value is not None and value.any()}
    assert "model.grounding_model.guided_pooling.guide.fc1.weight" in trained
    assert "model.grounding_model.text_projection.weight" in trained
    assert not {"model.logit_scale", "model.visual_projection.weight"} & trained


def test_is_zero_without_any_box():
    batch = batch_of() | {"has_box": torch.zeros(5, dtype=torch.bool)}
    assert task_of()(batch)["grounding"].item() == 0.0


@pytest.mark.parametrize("absent", [["boxes"], ["input_ids", "attention_mask"], ["pixel_values"]])
def test_is_skipped_without_its_inputs(absent):
    task = task_of(replace(ALONE, q2i=1.0))
    assert "grounding" in task(batch_of())
    assert "grounding" not in task(without(batch_of(), *absent))


def test_weight_of_zero_computes_no_maps():
    assert not TigerFGLossWeights().student_outputs().grounding
    assert "grounding" not in task_of(replace(ALONE, q2i=1.0, grounding=0.0)).represent(batch_of())


@pytest.mark.parametrize("kind", ["image", "late_fusion", "learned_queries"])
def test_baselines_without_a_map_are_refused(kind):
    outputs = TigerFGStudentOutputs(region=False, text=False, relations=False, grounding=True)
    if kind == "learned_queries":
        assert "grounding" in tiny_student(outputs, model=tiny_baseline(kind))(**batch_of())
        return
    with pytest.raises(
        ValueError, match="L_grounding cannot be computed with BaselineModel, which has no `grounding_model`"
    ):
        tiny_student(outputs, model=tiny_baseline(kind))
