"""`L_extent`: boxes that patches predict, compared with a reference in plain Python, in training and in gradients."""

import pytest
import torch
from loss_checks import assert_computed_in_float32, close
from student_cases import task_batch, tiny_student, without
from tiny import tiny_model

from tiger_fg_hf.models.outputs_tiger_fg import TigerFGExtentOutput
from tiger_fg_hf.models.patch_grid import patches_in_boxes
from tiger_fg_hf.objectives.extent import _edge_entropy, edge_rows, extent_rows, generalized_iou, vote_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

ALONE = TigerFGLossWeights(q2i=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, extent=1.0)
SIZES = {"num_glances": 2, "glance_size": 16}


def random_boxes(*shape: int, seed: int = 0) -> torch.Tensor:
    corners = torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(dim=-2).values
    return corners.flatten(-2)


def reference_giou(a: list[float], b: list[float]) -> float:
    def area(x0, y0, x1, y1):
        return max(x1 - x0, 0) * max(y1 - y0, 0)

    overlap = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = area(*a) + area(*b) - overlap
    hull = area(min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    return overlap / union - (hull - union) / hull


def test_equals_the_reference():
    predicted, boxes = random_boxes(3, 6), random_boxes(3, seed=1)
    inside = torch.tensor([[1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0]]).bool()
    rows = vote_rows(predicted, boxes, inside)
    for row in range(3):
        true, errors = boxes[row].tolist(), []
        for patch in inside[row].nonzero().flatten().tolist():
            box = predicted[row, patch].tolist()
            errors.append(sum(abs(a - b) for a, b in zip(box, true, strict=True)) + 1 - reference_giou(box, true))
        assert rows[row].item() == close(sum(errors) / len(errors))
    assert not vote_rows(boxes[:, None].expand(-1, 6, -1), boxes, inside).abs().max() > 1e-6
    assert not vote_rows(predicted, boxes, torch.zeros_like(inside)).any()


def test_distant_boxes_attract_each_other():
    predicted = torch.tensor([0.0, 0.0, 0.1, 0.1], requires_grad=True)
    generalized_iou(predicted, torch.tensor([0.6, 0.6, 0.9, 0.9])).backward()
    assert (predicted.grad[2:] > 0).all()


def test_empty_boxes_are_finite():
    empty = torch.zeros(1, 4)
    assert torch.isfinite(generalized_iou(empty, empty)).all()
    rows = vote_rows(torch.zeros(1, 2, 4, requires_grad=True), empty, torch.ones(1, 2, dtype=torch.bool))
    rows.sum().backward()


def test_computed_in_float32():
    predicted, boxes = random_boxes(2, 5), random_boxes(2, seed=1)
    inside = torch.ones(2, 5, dtype=torch.bool)
    assert_computed_in_float32(
        lambda p, b: extent_rows(TigerFGExtentOutput(patch_extents=p), b, inside), predicted, boxes
    )


def edge_logits(boxes: torch.Tensor, size: int, sure: float = 30.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a head that knows boxes whose edges lie at the centers of places."""
    places = (torch.arange(size) + 0.5) / size
    columns, rows = (sure * (boxes[:, [i, i + 2], None] == places).float() for i in (0, 1))
    x, y = (
        ((places > boxes[:, [i]]) & (places < boxes[:, [i + 2]])).float()
        + 0.5 * ((places == boxes[:, [i]]) | (places == boxes[:, [i + 2]])).float()
        for i in (0, 1)
    )
    mask = torch.logit(y[:, :, None] * x[:, None], eps=1e-6)
    return mask, columns, rows


def test_edges_and_masks_of_the_true_box_are_best():
    boxes = torch.tensor([[0.125, 0.375, 0.625, 0.875], [0.375, 0.125, 0.875, 0.375]])
    right, wrong = edge_rows(*edge_logits(boxes, 4), boxes), edge_rows(*edge_logits(boxes.flip(0), 4), boxes)
    assert (right < 0.2 * wrong).all()
    parts = zip(edge_logits(boxes, 4), edge_logits(boxes.flip(0), 4), strict=True)
    for index, (true, other) in enumerate(parts):
        logits = list(edge_logits(boxes, 4))
        logits[index] = true + 0.5 * (other - true)
        assert (edge_rows(*logits, boxes) > right).all()


def test_an_edge_between_two_places_is_a_mixture_of_both():
    logits, edge = torch.randn(1, 4), torch.tensor([0.3125])  # the places are 0.125, 0.375, 0.625 and 0.875
    surprise = -logits.log_softmax(-1)[0]
    assert _edge_entropy(logits, edge).item() == close((0.25 * surprise[0] + 0.75 * surprise[1]).item())
    for outside, place in ((0.0, 0), (1.0, 3)):
        assert _edge_entropy(logits, torch.tensor([outside])).item() == close(surprise[place].item())


def test_edges_at_the_border_are_finite():
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    logits = [torch.zeros(2, 4, 6, requires_grad=True), *(torch.zeros(2, 2, n, requires_grad=True) for n in (6, 4))]
    rows = edge_rows(*logits, boxes)
    rows.sum().backward()
    assert torch.isfinite(rows).all()
    assert all(torch.isfinite(each.grad).all() for each in logits)


@pytest.mark.parametrize("extent", ["head", "votes"])
def test_a_term_of_training_that_trains_the_head(extent):
    student = tiny_student(ALONE.student_outputs(), extent=extent, **SIZES)
    task, batch = TigerFGTask(student, ALONE), without(task_batch(), "teacher_region")
    losses = task(batch)
    assert list(losses) == ["loss", "extent", "logit_scale"]
    tokens = student.model.encode_item_image(batch["pixel_values"])
    item = student.model.fuse_item(
        tokens, student.model.encode_item_text(batch["input_ids"], batch["attention_mask"]), batch["attention_mask"]
    )
    rows = extent_rows(
        student.model.extent(tokens, item), batch["boxes"], patches_in_boxes(batch["boxes"], tokens.grid)
    )
    assert losses["extent"].item() == close(rows[batch["has_box"]].mean().item())
    losses["loss"].backward()
    for name, parameter in student.model.named_parameters():
        if name.startswith("extent."):
            assert parameter.grad.abs().max() > 0, name


def test_off_by_default():
    assert "extent" not in TigerFGLossWeights().active()
    assert not TigerFGLossWeights().student_outputs().extents


@pytest.mark.parametrize("model", [{}, {"num_glances": 2, "glance_size": 16, "extent": "quantile"}])
def test_models_without_a_head_are_refused(model):
    with pytest.raises(ValueError, match="L_extent cannot be computed with TigerFGModel"):
        tiny_student(ALONE.student_outputs(), model=tiny_model(**model))
