"""The order of the data: a pure function of seed, batch size and step."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochBatchSampler(Sampler):
    """
    Endless shuffled batches of `(epoch, row)` keys, of which each process gets its slice.

    Step `s` of a run has the same global batch whatever the number of processes or workers and wherever the run was
    resumed. Keys carry the epoch, so that the dataset needs no state of its own.

    Args:
        num_rows: rows of the dataset.
        batch_size: rows of the global batch, over all processes.
        num_batches: batches to yield in all, counted from step 0.
        seed: seed of the order.
        rank, world_size: which slice of each batch this process gets.
        start: first batch to yield.

    Raises:
        ValueError: `batch_size` exceeds `num_rows`, or processes do not divide it.
    """

    def __init__(
        self,
        num_rows: int,
        batch_size: int,
        num_batches: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
    ):
        if batch_size > num_rows:
            raise ValueError(f"The batch of {batch_size} rows over all processes exceeds the dataset's {num_rows}.")
        if batch_size % world_size:
            raise ValueError(f"{world_size} processes do not divide the batch of {batch_size} rows.")
        self.num_rows, self.batch_size, self.num_batches = num_rows, batch_size, num_batches
        self.seed, self.start = seed, start
        share = batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        self.batches_per_epoch = num_rows // batch_size

    def __len__(self) -> int:
        return max(0, self.num_batches - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: list[int] = []
        order_epoch = -1
        for batch in range(self.start, self.num_batches):
            epoch, position = divmod(batch, self.batches_per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order, order_epoch = torch.randperm(self.num_rows, generator=generator).tolist(), epoch
            rows = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield [(epoch, row) for row in rows[self.slice]]
