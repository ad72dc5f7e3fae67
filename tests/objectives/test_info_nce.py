"""InfoNCE against a reference written row by row, and split over processes against the whole batch."""

import math

import pytest
import torch
from torch.nn import functional as F

from tiger_fg_hf.objectives.info_nce import symmetric_info_nce


def embeddings(rows: int, seed: int = 0, dim: int = 5, dtype: torch.dtype = torch.float64):
    """Query and item embeddings [rows, dim] that ask for gradients."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, rows, dim, generator=generator, dtype=torch.float64)
    return [each.clone().to(dtype).requires_grad_() for each in F.normalize(pair, dim=-1)]


def info_nce_by_rows(queries, items, ids, scale) -> float:
    """The symmetric loss in plain Python."""
    queries, items, ids = queries.tolist(), items.tolist(), ids.tolist()

    def nce(rows, columns):
        total = 0.0
        for i, row in enumerate(rows):
            score = [scale * sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
            kept = [math.exp(score[j]) for j in range(len(columns)) if j == i or ids[j] != ids[i]]
            total -= math.log(math.exp(score[i]) / sum(kept))
        return total / len(rows)

    return 0.5 * (nce(queries, items) + nce(items, queries))


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7], [2, 2, 2, 2, 2, 1]])
@pytest.mark.parametrize("scale", [1.0, 14.3])
def test_equals_the_reference(ids, scale):
    queries, items = embeddings(6)
    ids = torch.tensor(ids)
    loss = symmetric_info_nce(queries, items, ids, scale)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce_by_rows(queries, items, ids, scale), rel=1e-5)


def test_equal_embeddings_lose_the_log_of_the_candidates():
    same = F.normalize(torch.ones(5, 3), dim=-1)
    assert symmetric_info_nce(same, same, torch.arange(5), 20.0).item() == pytest.approx(math.log(5))
    # Rows 0 to 2 are one product: each sees itself and the two others, of which it tells nothing apart.
    loss = symmetric_info_nce(same, same, torch.tensor([0, 0, 0, 1, 2]), 20.0)
    assert loss.item() == pytest.approx((3 * math.log(3) + 2 * math.log(5)) / 5)


@pytest.mark.parametrize("rows", [1, 4])
def test_one_product_alone_loses_nothing(rows):
    queries, items = embeddings(rows, dtype=torch.float32)
    scale = torch.tensor(100.0, requires_grad=True)
    loss = symmetric_info_nce(queries, items, torch.full((rows,), 7), scale)
    loss.backward()
    assert loss.item() == 0.0
    for tensor in (queries, items, scale):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_other_views_of_a_product_neither_attract_nor_repel():
    """Of products 5, 5, 6 the first query is compared with its own item and the third: it moves in their plane."""
    queries, items = embeddings(3)
    symmetric_info_nce(queries, items, torch.tensor([5, 5, 6]), 10.0).backward()
    gradient, plane = queries.grad[0], items.detach()[[0, 2]].T
    outside = gradient - plane @ torch.linalg.lstsq(plane, gradient[:, None]).solution[:, 0]
    assert outside.norm() < 1e-5 * gradient.norm()


def test_half_precision_embeddings_are_compared_in_float32():
    queries, items = embeddings(8, dtype=torch.bfloat16)
    ids = torch.arange(8)
    expected = symmetric_info_nce(queries.detach().float(), items.detach().float(), ids, 100.0)
    loss = symmetric_info_nce(queries, items, ids, torch.tensor(100.0, dtype=torch.bfloat16))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    loss.backward()
    assert torch.isfinite(queries.grad).all()
    assert torch.isfinite(items.grad).all()


def test_autocast_does_not_round_the_similarities():
    queries, items = embeddings(8, dtype=torch.float32)
    expected = symmetric_info_nce(queries, items, torch.arange(8), 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = symmetric_info_nce(queries, items, torch.arange(8), 100.0)
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_mean_over_processes_is_the_whole_batch(world_size):
    """Ids repeat within and across the processes' shares; the gradients are those of the whole batch as well."""
    ids = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0])
    queries, items = embeddings(8)
    scale = torch.tensor(9.0, requires_grad=True)
    whole = symmetric_info_nce(queries, items, ids, scale)
    expected = torch.autograd.grad(whole, (queries, items, scale))

    share = len(ids) // world_size
    losses = []
    for rank in range(world_size):
        own = slice(rank * share, (rank + 1) * share)
        losses.append(
            symmetric_info_nce(
                queries[own],
                items[own],
                ids[own],
                scale,
                all_query_embeds=queries,
                all_item_embeds=items,
                all_item_ids=ids,
                offset=own.start,
            )
        )
    mean = torch.stack(losses).mean()
    torch.testing.assert_close(mean, whole)
    for found, wanted in zip(torch.autograd.grad(mean, (queries, items, scale)), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_every_query_needs_its_item():
    queries, items = embeddings(4)
    with pytest.raises(ValueError, match="got 4, 3 and 4"):
        symmetric_info_nce(queries, items[:3], torch.arange(4), 1.0)
    with pytest.raises(ValueError, match="got 4, 4 and 2"):
        symmetric_info_nce(queries, items, torch.arange(2), 1.0)
