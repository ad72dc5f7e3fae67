"""The data order depends only on seed, batch size and step."""

from itertools import chain

import pytest
import torch

from tiger_fg_hf.training.sampler import EpochBatchSampler


def keys(**options) -> list[list[tuple[int, int]]]:
    return list(EpochBatchSampler(**{"num_rows": 22, "batch_size": 8, "num_batches": 7, "seed": 3, **options}))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_split_one_global_batch(world_size):
    whole = keys()
    shares = [keys(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert all(len(batch) == 8 // world_size for share in shares for batch in share)
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole


def test_epochs_are_permutations_without_their_remainder():
    batches = keys(num_batches=4)
    for epoch, two in enumerate((batches[:2], batches[2:])):
        rows = [row for batch in two for _, row in batch]
        assert len(set(rows)) == 16
        assert set(rows) <= set(range(22))
        assert {key for batch in two for key, _ in batch} == {epoch}
    assert [row for _, row in batches[0]] != [row for _, row in batches[2]]


def test_every_row_comes_where_the_batch_divides_them():
    rows = [row for batch in keys(num_rows=24, num_batches=3) for _, row in batch]
    assert sorted(rows) == list(range(24))


@pytest.mark.parametrize("start", [0, 1, 2, 5, 7])
def test_resuming_gives_the_rest(start):
    sampler = EpochBatchSampler(22, 8, 7, seed=3, start=start)
    assert len(sampler) == 7 - start
    assert list(sampler) == keys()[start:]


def test_nothing_is_left_after_the_last_batch():
    sampler = EpochBatchSampler(22, 8, 7, start=9)
    assert len(sampler) == 0
    assert list(sampler) == []


def test_order_is_that_of_the_seed_and_leaves_global_randomness_alone():
    state = torch.get_rng_state()
    assert keys() == keys()
    assert keys() != keys(seed=4)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="batch of 23 rows over all processes exceeds the dataset's 22"):
        EpochBatchSampler(22, 23, 1)
    with pytest.raises(ValueError, match="batch of 8 rows is not divisible by 3 processes"):
        EpochBatchSampler(22, 8, 1, world_size=3)


def mosaic_batches(categories=None, batches=3, **options):
    categories = [f"c{row % 7}" for row in range(240)] if categories is None else categories
    options = {"mosaic_share": 0.5, "categories": categories, "seed": 3, **options}
    return list(EpochBatchSampler(len(categories), 80, batches, **options))


def groups_of(batch) -> set[tuple[int, ...]]:
    return {key[2] for key in batch if len(key) == 3}


def test_every_row_comes_once_with_mosaics():
    assert sorted(key[1] for batch in mosaic_batches() for key in batch) == list(range(240))
    assert {key[0] for batch in mosaic_batches(batches=6)[3:] for key in batch} == {1}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_share_of_grouped_rows(share):
    for batch in mosaic_batches(mosaic_share=share):
        assert sum(len(key) == 3 for key in batch) == pytest.approx(share * 80, abs=1)


def test_groups_are_whole_adjacent_and_of_different_categories_and_items():
    categories = [f"c{row % 7}" if row % 5 else None for row in range(240)]
    items = [row // 2 for row in range(240)]
    sizes = set()
    for batch in mosaic_batches(categories, batches=12, item_ids=items):
        for group in groups_of(batch):
            places = [place for place, key in enumerate(batch) if key[2:] == (group,)]
            assert [batch[place][1] for place in places] == list(group)
            assert places == list(range(places[0], places[0] + len(group)))
            assert len({categories[row] for row in group} - {None}) == len(group)
            assert len({items[row] for row in group}) == len(group)
            sizes.add(len(group))
    assert sizes == {2, 3, 4}


def test_group_sizes_are_kept():
    assert {len(group) for batch in mosaic_batches(group_sizes=(3, 3)) for group in groups_of(batch)} == {3}


def test_rows_that_cannot_be_grouped_stay_single():
    rare = ["rare" if row in (5, 100) else "common" for row in range(240)]
    groups = set().union(*map(groups_of, mosaic_batches(rare, mosaic_share=1.0)))
    assert len(groups) <= 2
    assert all(len(group) == 2 and {5, 100} & set(group) for group in groups)


@pytest.mark.parametrize("start", [0, 2, 5])
def test_resuming_and_slicing_leave_mosaics_as_they_are(start):
    whole = mosaic_batches(batches=7)
    shares = [mosaic_batches(batches=7, start=start, rank=rank, world_size=4) for rank in range(4)]
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole[start:]
    assert mosaic_batches(batches=7, seed=4) != whole


def test_without_mosaics_the_order_is_unchanged():
    assert mosaic_batches(mosaic_share=0.0) == list(EpochBatchSampler(240, 80, 3, seed=3))


def test_what_mosaics_need():
    for categories in (None, [None] * 22, ["hats"] * 20 + [None] * 2):
        with pytest.raises(ValueError, match="at least two categories"):
            EpochBatchSampler(22, 8, 1, mosaic_share=0.5, categories=categories)
    with pytest.raises(ValueError, match="categories: expected one for each of 22 rows, found 3"):
        EpochBatchSampler(22, 8, 1, mosaic_share=0.5, categories=["a", "b", "c"])
    with pytest.raises(ValueError, match="mosaic_share"):
        EpochBatchSampler(22, 8, 1, mosaic_share=1.5)
    with pytest.raises(ValueError, match="group_sizes"):
        EpochBatchSampler(22, 8, 1, group_sizes=(1, 4))
