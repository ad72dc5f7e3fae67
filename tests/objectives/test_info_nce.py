"""InfoNCE: which rows are positives, negatives or neither, and means over rows."""

import math

import pytest
import torch
from loss_checks import assert_computed_in_float32, assert_exactly_nothing, close, flags, mean, surprise, unit_rows
from torch.nn import functional as F

from tiger_fg_hf.objectives.info_nce import Rows, info_nce


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7], [2, 2, 2, 2, 2, 1], [3, 3, 3, 3, 3, 3]])
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
@pytest.mark.parametrize("own", [slice(0, 6), slice(2, 4)])
def test_equals_the_reference(ids, scale, own):
    """For all rows or a share of them, with excluded candidates and extra negatives."""
    anchors, candidates, extra = unit_rows(6, 5), unit_rows(6, 5, seed=1), unit_rows(6, 3, 5, seed=2)
    excluded = flags("-+--+-")
    ids = torch.tensor(ids)
    found = info_nce(
        anchors[own],
        candidates,
        Rows(ids[own], ids, own.start),
        scale,
        excluded=excluded,
        extra_negatives=extra[own],
    )
    for row, value in zip(range(own.start, own.stop), found.tolist(), strict=True):
        others = [j for j in range(6) if ids[j] != ids[row] and not excluded[j]]
        negatives = candidates[others].tolist() + extra[row].tolist()
        assert value == close(surprise(anchors[row].tolist(), candidates[row].tolist(), negatives, scale))


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7], [2, 2, 2, 2, 2, 1]])
@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("excluded", ["------", "-+--+-"])
@pytest.mark.parametrize("texts", [0, 3])
@pytest.mark.parametrize("own", [slice(0, 6), slice(2, 4)])
def test_with_several_positives_equals_the_reference(ids, scale, excluded, texts, own):
    """Each positive is compared with other products alone; a single positive gives the plain loss."""
    anchors, candidates, excluded = unit_rows(6, 5), unit_rows(6, 5, seed=1), flags(excluded)
    extra = unit_rows(6, texts, 5, seed=2) if texts else None
    ids = torch.tensor(ids)
    rows = Rows(ids[own], ids, own.start)
    settings = {"excluded": excluded, "extra_negatives": None if extra is None else extra[own]}
    found = info_nce(anchors[own], candidates, rows, scale, multi_positive=True, **settings)
    for row, value in zip(range(own.start, own.stop), found.tolist(), strict=True):
        others = [j for j in range(6) if ids[j] != ids[row] and not excluded[j]]
        negatives = candidates[others].tolist() + ([] if extra is None else extra[row].tolist())
        positives = [j for j in range(6) if j == row or (ids[j] == ids[row] and not excluded[j])]
        losses = [surprise(anchors[row].tolist(), candidates[j].tolist(), negatives, scale) for j in positives]
        assert value == close(mean(losses))
    if len(ids.unique()) == 6:
        plain = info_nce(anchors[own], candidates, rows, scale, **settings)
        torch.testing.assert_close(found, plain, rtol=1e-6, atol=0)


def test_several_positives_attract():
    """With products 5, 5, 6, the first anchor is drawn to the first two rows and away from the third."""
    anchors, candidates = unit_rows(3, 5), unit_rows(3, 5, seed=1)
    loss = info_nce(anchors, candidates, Rows.of_one_process(torch.tensor([5, 5, 6])), 1.0, multi_positive=True)
    (gradient,) = torch.autograd.grad(loss[0], candidates)
    assert (gradient @ anchors[0] < 0).tolist() == [True, True, False]


def test_equal_embeddings_have_the_log_of_the_number_of_candidates():
    """Rows 0 to 2 show one product: each has itself and rows 3 and 4 as candidates."""
    same = F.normalize(torch.ones(5, 3), dim=-1)
    loss = info_nce(same, same, Rows.of_one_process(torch.tensor([0, 0, 0, 1, 2])), 20.0)
    assert loss.tolist() == close([math.log(3)] * 3 + [math.log(5)] * 2)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("multi_positive", [False, True])
def test_one_product_alone_has_no_loss(rows, multi_positive):
    anchors, candidates = unit_rows(rows, 5), unit_rows(rows, 5, seed=1)
    scale = torch.tensor(100.0, requires_grad=True)
    of_one = Rows.of_one_process(torch.full((rows,), 7))
    loss = info_nce(anchors, candidates, of_one, scale, multi_positive=multi_positive)
    assert_exactly_nothing(loss.sum(), (anchors, candidates, scale))


def test_other_rows_of_a_product_neither_attract_nor_repel():
    """With products 5, 5, 6, the first anchor gives the second row no gradient."""
    anchors, candidates = unit_rows(3, 5), unit_rows(3, 5, seed=1)
    loss = info_nce(anchors, candidates, Rows.of_one_process(torch.tensor([5, 5, 6])), 1.0)
    (gradient,) = torch.autograd.grad(loss[0], candidates)
    assert (gradient.norm(dim=-1) > 1e-2).tolist() == [True, False, True]
    assert torch.equal(gradient[1], torch.zeros(5))


def test_extra_negatives_belong_to_one_row_each():
    anchors, extra = unit_rows(4, 5), unit_rows(4, 3, 5, seed=2)
    rows = Rows.of_one_process(torch.arange(4))
    loss = info_nce(anchors, unit_rows(4, 5, seed=1), rows, 10.0, extra_negatives=extra)
    for row in range(4):
        (gradient,) = torch.autograd.grad(loss[row], extra, retain_graph=True)
        assert (gradient.norm(dim=-1) > 0).tolist() == [[other == row] * 3 for other in range(4)]


@pytest.mark.parametrize("multi_positive", [False, True])
def test_extreme_scales_stay_finite(multi_positive):
    """At a scale of 100, an anchor's positive is its opposite and its negatives equal it."""
    anchors = F.normalize(torch.ones(3, 2), dim=-1).requires_grad_()
    candidates = anchors.detach().clone()
    candidates[0] *= -1
    rows = Rows.of_one_process(torch.arange(3))
    loss = info_nce(anchors, candidates, rows, 100.0, multi_positive=multi_positive)
    assert loss[0].item() == close(200 + math.log(2))
    (gradient,) = torch.autograd.grad(loss.sum(), anchors)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("multi_positive", [False, True])
def test_is_computed_in_float32(multi_positive):
    rows = Rows.of_one_process(torch.tensor([0, 1, 2, 0, 3, 4, 1, 5]))
    inputs = unit_rows(8, 5), unit_rows(8, 5, seed=1), unit_rows(8, 2, 5, seed=2)
    settings = {"multi_positive": multi_positive}
    assert_computed_in_float32(lambda a, c, e: info_nce(a, c, rows, 100.0, extra_negatives=e, **settings), *inputs)
    assert_computed_in_float32(
        lambda a, c, scale: info_nce(a, c, rows, scale, **settings), *inputs[:2], torch.tensor(100.0)
    )


def test_every_anchor_needs_its_id_and_candidate():
    anchors, ids = unit_rows(4, 5), torch.arange(4)
    with pytest.raises(ValueError, match="4 anchors and 3 candidates were given with 4 own and 4 gathered"):
        info_nce(anchors, anchors[:3], Rows.of_one_process(ids), 1.0)
    with pytest.raises(ValueError, match="4 anchors and 4 candidates were given with 2 own and 4 gathered"):
        info_nce(anchors, anchors, Rows(ids[:2], ids), 1.0)


def test_same_product_leaves_out_the_row_itself():
    rows = Rows(torch.tensor([1, 2]), torch.tensor([1, 1, 1, 2, 3]), offset=2)
    assert rows.targets.tolist() == [2, 3]
    assert rows.same_product().int().tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


BOOLEAN = ["+-++-+", "++++--", "---+--", "------", "++++++"]
WEIGHTS = [[0.5, 0.0, 2.0, 1e-9, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0, 1e-12, 2e-12]]


@pytest.mark.parametrize("weights", [*map(flags, BOOLEAN), *map(torch.tensor, WEIGHTS)])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_mean_over_rows_of_all_processes(weights, world_size):
    """However unevenly the weights are spread, and however small they are; rows without weight may hold NaN."""
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).masked_fill(weights == 0, torch.nan)
    ids, share = torch.arange(6), 6 // world_size
    means = [
        Rows(ids[own], ids, own.start).mean(values[own], weights[own], weights)
        for own in (slice(start, start + share) for start in range(0, 6, share))
    ]
    weighted = [v * w for v, w in zip(values.tolist(), weights.tolist(), strict=True) if w]
    assert torch.stack(means).mean().item() == close(sum(weighted) / max(weights.sum().item(), 1e-30))
