"""Exact search: against a full sort, with ties, in any chunks, within its memory bound."""

import numpy as np
import pytest
import torch
from memory import LargestTensor

from tiger_fg_hf.catalog.search import search


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def reference(queries: torch.Tensor, items: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    scores = (queries.double() @ items.double().T).float()
    ordered = scores.sort(dim=1, descending=True, stable=True)
    return ordered.values[:, :k], ordered.indices[:, :k]


@pytest.mark.parametrize(("query_chunk", "item_chunk"), [(1, 1), (3, 7), (4, 64), (100, 1000)])
def test_matches_full_sort_for_any_chunks(query_chunk, item_chunk):
    queries, items = unit(13, 8, 0), unit(101, 8, 1)
    items[50:80] = items[10]  # ties within and across chunks
    expected_scores, expected = reference(queries, items, 40)
    scores, indices = search(queries, items, 40, query_chunk=query_chunk, item_chunk=item_chunk)
    assert torch.equal(indices, expected)
    assert torch.equal(scores, expected_scores)


def test_equal_scores_keep_item_order_even_where_float32_sums_differ():
    items = unit(1, 257, 2).expand(500, -1)
    for item_chunk in (1, 7, 64, 499, 500):
        _, indices = search(unit(5, 257, 3), items, 500, item_chunk=item_chunk)
        assert torch.equal(indices, torch.arange(500).expand(5, -1))


def test_negative_zero_and_zero_scores_tie():
    # Products of either sign that float32 rounds to zero.
    items = torch.tensor([[-1e-30], [1e-30], [1.0], [-1.0], [0.0]], dtype=torch.float64)
    scores, indices = search(torch.tensor([[1e-30]], dtype=torch.float64), items, 5, item_chunk=2)
    assert indices.tolist() == [[2, 0, 1, 4, 3]]
    assert scores[0, 1:4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    queries, items = unit(4, 8, 0).to(dtype), unit(30, 8, 1).to(dtype)
    scores, indices = search(queries, items, 5)
    assert scores.dtype == torch.float32
    assert torch.equal(indices, reference(queries, items, 5)[1])


def test_reads_memory_mapped_arrays(tmp_path):
    queries, items = unit(4, 8, 0), unit(30, 8, 1).half()
    np.save(tmp_path / "items.npy", items.numpy())
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    for left, right in zip(search(queries.numpy(), mapped, 5, item_chunk=7), search(queries, items, 5), strict=True):
        assert torch.equal(left, right)


def test_float32_computation_agrees_up_to_rounding():
    queries, items = unit(4, 64, 0), unit(300, 64, 1)
    scores, _ = search(queries, items, 5, compute_dtype=torch.float32, item_chunk=50)
    torch.testing.assert_close(scores, reference(queries, items, 5)[0])


def test_truncate_dim_compares_normalised_prefixes():
    queries, items = unit(4, 16, 0), unit(30, 16, 1)
    prefix = [torch.nn.functional.normalize(x[:, :6].double(), dim=1) for x in (queries, items)]
    scores, indices = search(queries, items, 5, truncate_dim=6)
    assert torch.equal(indices, reference(*prefix, 5)[1])
    assert scores.max() <= 1


def test_permuting_items_permutes_indices():
    queries, items = unit(6, 8, 0), unit(50, 8, 1)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    assert torch.equal(order[search(queries, items[order], 10)[1]], search(queries, items, 10)[1])


def test_short_and_empty_inputs():
    queries, items = unit(3, 4, 0), unit(5, 4, 1)
    assert search(queries, items, 9)[1].shape == (3, 5)
    assert search(queries, items[:0], 9)[1].shape == (3, 0)
    assert search(queries[:0], items, 2)[1].shape == (0, 2)


def test_errors_say_what_is_wrong():
    queries, items = unit(3, 4, 0), unit(50, 4, 1)
    with pytest.raises(ValueError, match=r"4 dimensions but item_embeds have 3"):
        search(queries, items[:, :3], 1)
    with pytest.raises(ValueError, match=r"must have shape \[rows, dim\], got \(4,\)"):
        search(queries[0], items, 1)
    with pytest.raises(ValueError, match="floating point"):
        search(queries.long(), items, 1)
    with pytest.raises(ValueError, match="k must be at least 1"):
        search(queries, items, 0)
    with pytest.raises(ValueError, match=r"truncate_dim must lie in \[1, 4\]"):
        search(queries, items, 1, truncate_dim=5)
    items[41, 2] = torch.nan
    with pytest.raises(ValueError, match="item_embeds row 41 holds NaN"):
        search(queries, items, 1, item_chunk=20)
    queries[2, 0] = torch.inf
    with pytest.raises(ValueError, match="query_embeds row 2 holds NaN or infinity"):
        search(queries, items[:40], 1, query_chunk=2)


def test_memory_is_bounded_by_the_chunks():
    queries, items = unit(300, 2, 0), unit(2000, 2, 1)
    with LargestTensor() as largest:
        search(queries, items, 5, query_chunk=10, item_chunk=100)
    assert largest.numel <= max(10 * (100 + 5), items.numel())  # `items.numel()`: the slice's own storage
