"""Orders bring neighbors and rows of one product into one batch, and each row still occurs once per epoch."""

import pytest
import torch

from tiger_fg_hf.training.hard_batches import HardBatchOrder

ROWS, BATCH = 103, 16


def random_neighbours(width: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    neighbours = torch.randint(ROWS, (ROWS, width), generator=generator)
    return neighbours.masked_fill(torch.rand(ROWS, width, generator=generator) < 0.2, -1)


def products(rows: int = ROWS) -> torch.Tensor:
    return torch.randint(25, (rows,), generator=torch.Generator().manual_seed(1)) * 31


def batches(order: torch.Tensor, size: int = BATCH) -> list[list[int]]:
    return [part.tolist() for part in order.split(size)]


@pytest.mark.parametrize(
    "options",
    [
        {"neighbours": random_neighbours()},
        {"item_ids": products()},
        {"neighbours": random_neighbours(), "item_ids": products()},
    ],
    ids=["neighbours", "products", "both"],
)
def test_every_epoch_is_a_permutation_of_its_own(options):
    order = HardBatchOrder(ROWS, BATCH, seed=3, **options)
    state = torch.get_rng_state()
    epochs = [order(epoch) for epoch in range(3)]
    assert all(sorted(rows.tolist()) == list(range(ROWS)) for rows in epochs)
    assert torch.equal(epochs[1], HardBatchOrder(ROWS, BATCH, seed=3, **options)(1))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], HardBatchOrder(ROWS, BATCH, seed=4, **options)(0))
    assert torch.equal(torch.get_rng_state(), state)


def share_with_a_neighbour(order: torch.Tensor, neighbours: torch.Tensor) -> float:
    """Select the rows that share their batch with a neighbor, or with a row whose neighbor they are."""
    near = torch.zeros(ROWS, ROWS + 1, dtype=torch.bool)  # the last column stands for -1
    near[torch.arange(ROWS)[:, None], neighbours] = True
    near = (near[:, :-1] | near[:, :-1].T).fill_diagonal_(False)
    return sum(near[batch][:, batch].any(dim=1).sum().item() for batch in batches(order)) / ROWS


def test_neighbours_share_a_batch():
    neighbours = random_neighbours()
    hard = share_with_a_neighbour(HardBatchOrder(ROWS, BATCH, neighbours=neighbours)(0), neighbours)
    shuffled = share_with_a_neighbour(torch.randperm(ROWS, generator=torch.Generator().manual_seed(0)), neighbours)
    assert shuffled < 0.7
    assert hard > 0.8


def test_mutual_neighbours_are_never_parted():
    """Groups of four divide the batch, so none is split."""
    rows = torch.arange(64)
    neighbours = torch.stack([rows // 4 * 4 + (rows + shift) % 4 for shift in range(1, 4)], dim=1)
    for batch in batches(HardBatchOrder(64, BATCH, neighbours=neighbours)(5)):
        assert sorted(row // 4 for row in batch) == sorted(4 * [row // 4 for row in batch[::4]])


def test_rows_of_one_product_are_adjacent():
    ids = products()
    order = HardBatchOrder(ROWS, BATCH, item_ids=ids)(2)
    for batch in batches(order):
        runs = [
            int(product)
            for product, previous in zip(ids[batch], [None, *ids[batch]], strict=False)
            if product != previous
        ]
        assert len(set(runs)) == len(runs)
    parted = sum(
        len({index for index, batch in enumerate(batches(order)) if product in ids[batch]}) > 1
        for product in ids.unique()
    )
    assert parted < len(batches(order))  # at most one at each end of a batch


def test_neighbours_bring_their_products():
    """Row 0 and its neighbor 2, each with the other listing of its product, fill the batch."""
    ids, neighbours = torch.tensor([5, 5, 6, 6]), torch.tensor([[2], [3], [0], [1]])
    assert sorted(HardBatchOrder(4, 4, neighbours=neighbours, item_ids=ids)(0).tolist()) == [0, 1, 2, 3]
    ids, neighbours = ids.repeat(2) + 10 * (torch.arange(8) // 4), torch.cat([neighbours, neighbours + 4])
    for epoch in range(5):
        for batch in batches(HardBatchOrder(8, 4, neighbours=neighbours, item_ids=ids)(epoch), 4):
            assert sorted(batch) in ([0, 1, 2, 3], [4, 5, 6, 7])


def test_product_larger_than_a_batch():
    order = HardBatchOrder(20, 8, item_ids=torch.zeros(20, dtype=torch.long))(0)
    assert sorted(order.tolist()) == list(range(20))


def test_hard_batches_come_at_any_time():
    """Without shuffling the batches, the first ones would be the hardest of each epoch."""
    neighbours = torch.randint(400, (400, 5), generator=torch.Generator().manual_seed(2))
    order = HardBatchOrder(400, 20, neighbours=neighbours)
    halves = torch.zeros(2)
    for epoch in range(10):
        rows = order(epoch)
        for half, part in enumerate(rows.split(200)):
            halves[half] += sum(
                bool(set(neighbours[row].tolist()) & set(batch)) for batch in batches(part, 20) for row in batch
            )
    assert halves[0] == pytest.approx(halves[1].item(), rel=0.1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="needs neighbours, item_ids or both"):
        HardBatchOrder(4, 2)
    with pytest.raises(ValueError, match="neighbours: expected one for each of 4 rows, found 3"):
        HardBatchOrder(4, 2, neighbours=torch.zeros(3, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="neighbours must be rows below 4 or -1, found -1 to 4"):
        HardBatchOrder(4, 2, neighbours=torch.tensor([[0], [4], [-1], [1]]))
