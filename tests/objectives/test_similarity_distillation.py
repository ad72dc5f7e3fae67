"""`L_SDD`: a query's distribution over the items of a batch, the student's and the teacher's."""

import math

import pytest
import torch
from loss_checks import (
    assert_computed_in_float32,
    assert_exactly_nothing,
    assert_mean_over_processes_is_the_whole_batch,
    close,
    cosine,
    divergence,
    dot,
    flags,
    unit_rows,
)

from tiger_fg_hf.objectives.info_nce import Rows
from tiger_fg_hf.objectives.similarity_distillation import similarity_distillation_rows


def inputs(rows: int = 6) -> tuple[torch.Tensor, ...]:
    """The student's queries and items, and the teacher's, of another width and of any length."""
    queries, items = unit_rows(rows, 5), unit_rows(rows, 5, seed=1)
    lengths = torch.arange(rows)[:, None] + 0.5
    teacher_query = unit_rows(rows, 7, seed=2).detach()
    teacher_item = (teacher_query + 0.7 * unit_rows(rows, 7, seed=3).detach()) * lengths
    return queries, items, 3 * teacher_query, teacher_item


def loss_of(queries, items, teacher_query, teacher_item, valid="++++++", ids=range(6), scale=4.0, **kwargs):
    """`L_SDD` in one process."""
    rows = Rows.of_one_process(torch.tensor(list(ids)))
    divergence, weights = similarity_distillation_rows(
        queries, teacher_query, teacher_item, flags(valid), rows, scale, all_item_embeds=items, **kwargs
    )
    return rows.mean(divergence, weights, weights)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7]])
@pytest.mark.parametrize("valid", ["++++++", "+-++-+", "---+--"])
@pytest.mark.parametrize("confidence_weighted", [True, False])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_equals_the_reference(ids, valid, confidence_weighted, temperature):
    """Both distributions leave out other rows of a product, and invalid rows."""
    values = inputs()
    found = loss_of(*values, valid=valid, ids=ids, confidence_weighted=confidence_weighted, temperature=temperature)
    q, f, tq, ti = (value.tolist() for value in values)
    seen = flags(valid).nonzero().flatten().tolist()
    losses, weights = [], []
    for i in seen:
        columns = [i] + [j for j in seen if ids[j] != ids[i]]
        teacher = [cosine(tq[i], ti[j]) / temperature for j in columns]
        student = [4.0 * dot(q[i], f[j]) for j in columns]
        weights.append(1 / sum(math.exp(x - teacher[0]) for x in teacher) if confidence_weighted else 1.0)
        losses.append(divergence(teacher, student))
    assert found.item() == close(dot(weights, losses) / sum(weights))


def test_a_student_that_agrees_has_no_loss():
    """Its scaled similarities equal the teacher's, up to a constant for each query."""
    queries, items, *_ = inputs()
    values = (queries, items, 5 * queries.detach(), 0.1 * items.detach())
    loss = loss_of(*values, scale=20.0, temperature=0.05)
    assert loss.abs() < 1e-6
    assert all(gradient.abs().max() < 1e-4 for gradient in torch.autograd.grad(loss, (queries, items)))
    assert loss_of(*values, scale=10.0, temperature=0.05) > 1e-3


def test_other_rows_of_a_product_change_nothing():
    """With products 5, 5, 6, ..., neither student nor teacher compares the first query with the second item."""
    queries, items, teacher_query, teacher_item = inputs()
    ids = [5, 5, 6, 7, 8, 9]

    def first(items, teacher_item):
        """Divergence of the first row."""
        rows = Rows(torch.tensor(ids[:1]), torch.tensor(ids))
        divergence, _ = similarity_distillation_rows(
            queries[:1],
            teacher_query[:1],
            teacher_item[:1],
            flags("+"),
            rows,
            4.0,
            all_item_embeds=items,
            all_teacher_item=teacher_item,
            all_valid=flags("++++++"),
        )
        return divergence[0]

    loss = first(items, teacher_item)
    (gradient,) = torch.autograd.grad(loss, items)
    assert (gradient.norm(dim=-1) > 0).tolist() == [True, False, True, True, True, True]
    other, other_teacher = items.detach().clone(), teacher_item.clone()
    other[1], other_teacher[1] = other[0], teacher_query[0]
    assert torch.equal(first(other, other_teacher), loss)


def test_the_teacher_is_followed_where_it_is_right():
    """The weights are its probabilities of the true item; rows in which it is certain and wrong have no gradient."""
    queries, items = unit_rows(4, 5), unit_rows(4, 5, seed=1)
    right = torch.eye(4)
    plain = loss_of(queries, items, right, right, "++++", range(4), confidence_weighted=False)
    assert loss_of(queries, items, right, right, "++++", range(4)).item() == close(plain.item())
    mixed = right[[0, 1, 3, 2]]  # it takes the last two for each other
    loss = loss_of(queries, items, mixed, right, "++++", range(4))
    (gradient,) = torch.autograd.grad(loss, queries)
    assert (gradient.norm(dim=-1) > 1e-4).tolist() == [True, True, False, False]
    rows = Rows.of_one_process(torch.arange(4))
    divergence, weights = similarity_distillation_rows(
        queries, mixed, right, flags("++++"), rows, 4.0, all_item_embeds=items
    )
    assert weights.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0], abs=1e-6)
    assert loss.item() == close(divergence[:2].mean().item())


def test_invalid_rows_change_nothing():
    """Neither by their values nor by a gradient."""
    queries, items, teacher_query, teacher_item = inputs()
    valid = flags("+-++-+")
    loss = loss_of(queries, items, teacher_query, teacher_item, "+-++-+")
    for gradient in torch.autograd.grad(loss, (queries, items)):
        assert (gradient.norm(dim=-1) > 0).tolist() == valid.tolist()
    other = [torch.where(valid[:, None], value, 0.0) for value in (queries, items, teacher_query, teacher_item)]
    assert torch.equal(loss_of(*other, "+-++-+"), loss)


@pytest.mark.parametrize(("valid", "ids"), [("------", range(6)), ("++++++", [4] * 6), ("---+--", range(6))])
def test_is_zero_without_a_choice(valid, ids):
    """No valid row, one product only, or a single valid row."""
    queries, items, teacher_query, teacher_item = inputs()
    scale = torch.tensor(50.0, requires_grad=True)
    loss = loss_of(queries, items, teacher_query, teacher_item, valid, ids, scale)
    assert_exactly_nothing(loss, (queries, items, scale))


def test_the_teacher_has_no_gradient():
    values = [value.detach().requires_grad_() for value in inputs()]
    loss = loss_of(*values)
    assert torch.autograd.grad(loss, values[2:], allow_unused=True) == (None, None)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("valid", ["++++++++", "+++-+---", "++++----", "--------"])
def test_mean_over_processes_is_the_whole_batch(world_size, valid):
    ids, valid = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0]), flags(valid)
    queries, items, teacher_query, teacher_item = inputs(8)
    scale = torch.tensor(9.0, requires_grad=True)

    def loss(own: slice) -> torch.Tensor:
        rows = Rows(ids[own], ids, own.start)
        divergence, weights = similarity_distillation_rows(
            queries[own],
            teacher_query[own],
            teacher_item[own],
            valid[own],
            rows,
            scale,
            all_item_embeds=items,
            all_teacher_item=teacher_item,
            all_valid=valid,
        )
        assert not weights.requires_grad
        return rows.mean(divergence, weights, all_weights)

    everything = Rows.of_one_process(ids)
    _, all_weights = similarity_distillation_rows(
        queries, teacher_query, teacher_item, valid, everything, scale, all_item_embeds=items
    )
    assert_mean_over_processes_is_the_whole_batch(loss, 8, world_size, (queries, items, scale))


def test_is_computed_in_float32():
    assert_computed_in_float32(loss_of, *inputs())
