"""Mined negatives equal those of a full matrix, whatever the chunks."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tiger_fg_hf.training.mining import mine_hard_negatives

QUERIES, ITEMS, DIM = 23, 41, 8


@pytest.fixture
def embeds() -> dict[str, torch.Tensor]:
    """Queries close to the items of their products, among other items."""
    torch.manual_seed(0)
    item_ids = torch.arange(ITEMS) % 29 * 7 + 100  # some products have two listings
    items = F.normalize(torch.randn(ITEMS, DIM), dim=-1)
    own = torch.randint(ITEMS, (QUERIES,))
    queries = F.normalize(items[own] + 0.4 * torch.randn(QUERIES, DIM), dim=-1)
    return {"query_embeds": queries, "item_embeds": items, "query_item_ids": item_ids[own], "item_ids": item_ids}


def brute_force(embeds, top_k: int, relative=None, absolute=None) -> list[list[int]]:
    """Return the best `top_k` allowed items of each query, best first."""
    scores = embeds["query_embeds"].double() @ embeds["item_embeds"].double().T
    found = []
    for row, product in zip(scores, embeds["query_item_ids"], strict=True):
        own = embeds["item_ids"] == product
        positive = row[own].max()
        bound = min(
            torch.inf if relative is None else positive - relative * positive.abs(),
            torch.inf if absolute is None else positive - absolute,
        )
        allowed = [item for item in range(ITEMS) if not own[item] and row[item] <= bound]
        found.append(sorted(allowed, key=lambda item, row=row: -row[item])[:top_k])
    return found


@pytest.mark.parametrize(("relative", "absolute"), [(None, None), (0.05, None), (None, 0.3), (0.1, 0.2), (1.4, None)])
@pytest.mark.parametrize(("query_chunk", "item_chunk"), [(256, 16384), (5, 7), (1, 1)])
def test_equals_brute_force(embeds, relative, absolute, query_chunk, item_chunk):
    """With as many negatives as candidates, the draw is determined."""
    found = mine_hard_negatives(
        **embeds,
        num_negatives=6,
        top_k=6,
        relative_margin=relative,
        absolute_margin=absolute,
        query_chunk=query_chunk,
        item_chunk=item_chunk,
    )
    expected = brute_force(embeds, 6, relative, absolute)
    assert found.tolist() == [rows + [-1] * (6 - len(rows)) for rows in expected]
    if relative == 1.4:
        assert any(len(rows) < 6 for rows in expected)


def test_draws_are_from_the_best_alone_and_repeat(embeds):
    options = {"num_negatives": 3, "top_k": 8, "relative_margin": 0.05}
    expected = brute_force(embeds, 8, relative=0.05)
    draws = [mine_hard_negatives(**embeds, **options, seed=seed) for seed in range(40)]
    assert torch.equal(draws[3], mine_hard_negatives(**embeds, **options, seed=3, query_chunk=2, item_chunk=9))
    assert not torch.equal(draws[0], draws[1])
    for query, rows in enumerate(expected):
        drawn = [draw[query].tolist() for draw in draws]
        assert {row for draw in drawn for row in draw} - {-1} == set(rows)  # each is drawn at some time
        for draw in drawn:
            kept = [row for row in draw if row >= 0]
            assert len(set(kept)) == len(kept) == min(3, len(rows))
            assert kept == sorted(kept, key=rows.index)


def test_fewer_items_than_asked_for(embeds):
    small = embeds | {"item_embeds": embeds["item_embeds"][:4], "item_ids": embeds["item_ids"][:4]}
    small |= {"query_embeds": embeds["item_embeds"][:2], "query_item_ids": embeds["item_ids"][:2]}
    found = mine_hard_negatives(**small, num_negatives=5, top_k=9)
    assert found.shape == (2, 5)
    assert [sorted(row) for row in found.tolist()] == [[-1, -1, 1, 2, 3], [-1, -1, 0, 2, 3]]


def test_positives_below_zero_are_not_above_their_bound(embeds):
    """A share of a negative score would raise the bound above the score."""
    turned = embeds | {"query_embeds": -embeds["query_embeds"]}
    found = mine_hard_negatives(**turned, num_negatives=4, top_k=4, relative_margin=0.2)
    assert found.tolist() == [rows + [-1] * (4 - len(rows)) for rows in brute_force(turned, 4, relative=0.2)]


def test_memory_maps(embeds, tmp_path):
    maps = dict(embeds)
    for name in ("query_embeds", "item_embeds"):
        np.save(tmp_path / f"{name}.npy", embeds[name].numpy().astype(np.float32))
        maps[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    options = {"num_negatives": 2, "top_k": 5, "item_chunk": 10}
    assert torch.equal(mine_hard_negatives(**maps, **options), mine_hard_negatives(**embeds, **options))


def test_what_does_not_fit_is_refused(embeds):
    with pytest.raises(ValueError, match=r"num_negatives must lie in \[1, top_k = 4\], got 5"):
        mine_hard_negatives(**embeds, num_negatives=5, top_k=4)
    with pytest.raises(ValueError, match="23 query_embeds and 41 item_embeds were given with 23 query_item_ids and 9"):
        mine_hard_negatives(**embeds | {"item_ids": torch.arange(9)}, num_negatives=1)
    strange = embeds["query_item_ids"].clone()
    strange[4] = 5
    with pytest.raises(ValueError, match="Query row 4: no item has its item id 5"):
        mine_hard_negatives(**embeds | {"query_item_ids": strange}, num_negatives=1)
