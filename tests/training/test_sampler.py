"""The data order depends on seed, batch size and step alone."""

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
    with pytest.raises(ValueError, match="3 processes do not divide the batch of 8 rows"):
        EpochBatchSampler(22, 8, 1, world_size=3)
