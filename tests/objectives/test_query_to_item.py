"""`L_q2i`: both directions, with mismatched texts in one of them."""

import pytest
import torch
from loss_checks import (
    assert_computed_in_float32,
    assert_exactly_nothing,
    assert_mean_over_processes_is_the_whole_batch,
    close,
    mean,
    surprise,
    unit_rows,
)

from tiger_fg_hf.objectives.info_nce import Rows, info_nce
from tiger_fg_hf.objectives.query_to_item import query_to_item_loss


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7], [2, 2, 2, 2, 2, 1]])
@pytest.mark.parametrize("texts", [0, 1, 3])
@pytest.mark.parametrize("scale", [1.0, 14.3])
@pytest.mark.parametrize("multi_positive", [False, True])
def test_equals_the_reference(ids, texts, scale, multi_positive):
    """Each row's mismatched texts are negatives in the direction from query to item alone."""
    queries, items = unit_rows(6, 5), unit_rows(6, 5, seed=1)
    mismatched = unit_rows(6, texts, 5, seed=2) if texts else None
    rows = Rows.of_one_process(torch.tensor(ids))
    found = query_to_item_loss(
        queries, items, rows, scale, mismatched_embeds=mismatched, multi_positive=multi_positive
    )

    q, f, m = queries.tolist(), items.tolist(), [[]] * 6 if mismatched is None else mismatched.tolist()
    others = [[j for j in range(6) if ids[j] != ids[i]] for i in range(6)]
    own = [[j for j in range(6) if ids[j] == ids[i]] if multi_positive else [i] for i in range(6)]
    to_items = mean(
        [mean([surprise(q[i], f[k], [f[j] for j in others[i]] + m[i], scale) for k in own[i]]) for i in range(6)]
    )
    to_queries = mean(
        [mean([surprise(f[i], q[k], [q[j] for j in others[i]], scale) for k in own[i]]) for i in range(6)]
    )
    assert found.item() == close(0.5 * (to_items + to_queries))


def test_mismatched_texts_leave_the_other_direction_alone():
    """Without the direction from query to item, the gradients are those from item to query."""
    queries, items, mismatched = unit_rows(4, 5), unit_rows(4, 5, seed=1), unit_rows(4, 2, 5, seed=2)
    rows = Rows.of_one_process(torch.tensor([0, 1, 1, 2]))
    loss = query_to_item_loss(queries, items, rows, 10.0, mismatched_embeds=mismatched)
    to_items = 0.5 * info_nce(queries, items, rows, 10.0, extra_negatives=mismatched).mean()
    to_queries = 0.5 * info_nce(items, queries, rows, 10.0).mean()
    inputs = (queries, items, mismatched)
    whole, one, other = (torch.autograd.grad(x, inputs, materialize_grads=True) for x in (loss, to_items, to_queries))
    for w, a, b in zip(whole, one, other, strict=True):
        torch.testing.assert_close(w - a, b, rtol=1e-5, atol=1e-6)
    assert torch.equal(other[2], torch.zeros_like(mismatched))


def test_a_single_pair_has_mismatched_texts_as_negatives():
    query, item, mismatched = unit_rows(1, 5), unit_rows(1, 5, seed=1), unit_rows(1, 2, 5, seed=2)
    rows = Rows.of_one_process(torch.tensor([3]))
    assert_exactly_nothing(query_to_item_loss(query, item, rows, 10.0), (query, item))
    found = query_to_item_loss(query, item, rows, 10.0, mismatched_embeds=mismatched)
    assert found.item() == close(0.5 * surprise(query[0].tolist(), item[0].tolist(), mismatched[0].tolist(), 10.0))


@pytest.mark.parametrize("multi_positive", [False, True])
def test_one_product_alone_has_no_loss(multi_positive):
    queries, items = unit_rows(4, 5), unit_rows(4, 5, seed=1)
    scale = torch.tensor(100.0, requires_grad=True)
    rows = Rows.of_one_process(torch.full((4,), 7))
    loss = query_to_item_loss(queries, items, rows, scale, multi_positive=multi_positive)
    assert_exactly_nothing(loss, (queries, items, scale))


def test_is_symmetric_without_mismatched_texts():
    queries, items = unit_rows(6, 5), unit_rows(6, 5, seed=1)
    rows = Rows.of_one_process(torch.tensor([0, 1, 0, 2, 3, 4]))
    one, other = query_to_item_loss(queries, items, rows, 9.0), query_to_item_loss(items, queries, rows, 9.0)
    assert one.item() == close(other.item())


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("multi_positive", [False, True])
def test_mean_over_processes_is_the_whole_batch(world_size, multi_positive):
    """With ids that repeat within and across processes."""
    ids = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0])
    queries, items, mismatched = unit_rows(8, 5), unit_rows(8, 5, seed=1), unit_rows(8, 2, 5, seed=2)
    scale = torch.tensor(9.0, requires_grad=True)

    def loss(own: slice) -> torch.Tensor:
        return query_to_item_loss(
            queries[own],
            items[own],
            Rows(ids[own], ids, own.start),
            scale,
            all_query_embeds=queries,
            all_item_embeds=items,
            mismatched_embeds=mismatched[own],
            multi_positive=multi_positive,
        )

    assert_mean_over_processes_is_the_whole_batch(loss, 8, world_size, (queries, items, mismatched, scale))


@pytest.mark.parametrize("multi_positive", [False, True])
def test_is_computed_in_float32(multi_positive):
    rows = Rows.of_one_process(torch.tensor([0, 1, 2, 0, 3, 4, 1, 5]))
    assert_computed_in_float32(
        lambda q, i, m, scale: query_to_item_loss(
            q, i, rows, scale, mismatched_embeds=m, multi_positive=multi_positive
        ),
        unit_rows(8, 5),
        unit_rows(8, 5, seed=1),
        unit_rows(8, 2, 5, seed=2),
        torch.tensor(100.0),
    )


def test_every_query_needs_its_item():
    queries, items = unit_rows(4, 5), unit_rows(3, 5)
    with pytest.raises(ValueError, match="4 anchors and 3 candidates"):
        query_to_item_loss(queries, items, Rows.of_one_process(torch.arange(4)), 1.0)
    with pytest.raises(ValueError, match="2 own and 2 gathered"):
        query_to_item_loss(queries, queries, Rows.of_one_process(torch.arange(2)), 1.0)
