"""Row orders that bring hard negatives, or listings of one product, into the same batch."""

import numpy as np
import torch


class HardBatchOrder:
    """Permutes the rows for each epoch so that rows which belong together share a batch.

    Rows are taken in random order. Each is followed by the remaining rows of its product, then by its remaining
    neighbors and the rows of theirs, until the batch is full; whatever does not fit comes in a later batch. As fewer
    and fewer neighbors remain, early batches are harder than late ones; whole batches are therefore shuffled at the
    end. Each row occurs once.

    Args:
        num_rows: Rows of the dataset.
        batch_size: Rows of the global batch.
        neighbours: `[num_rows, m]` integer, hard negatives of each row, hardest first, padded with -1, as
            [`mine_hard_negatives`] returns them for queries and items of the same rows.
        item_ids: `[num_rows]` integer, product of each row. Rows of one product are then adjacent, unless the batch
            ends between them.
        seed: Seed of the orders.

    Raises:
        ValueError: If neither `neighbours` nor `item_ids` is given, or they do not fit the rows.

    Example:
        >>> order = HardBatchOrder(4, 2, item_ids=torch.tensor([0, 1, 0, 1]))
        >>> sorted(order(0).view(2, 2).remainder(2).tolist())  # rows of one product share a batch
        [[0, 0], [1, 1]]
    """

    def __init__(
        self,
        num_rows: int,
        batch_size: int,
        *,
        neighbours: torch.Tensor | None = None,
        item_ids: torch.Tensor | None = None,
        seed: int = 0,
    ):
        if neighbours is None and item_ids is None:
            raise ValueError("HardBatchOrder needs neighbours, item_ids or both.")
        for name, values in (("neighbours", neighbours), ("item_ids", item_ids)):
            if values is not None and len(values) != num_rows:
                raise ValueError(f"{name}: expected one for each of {num_rows} rows, found {len(values)}.")
        if neighbours is not None and neighbours.numel() and not -1 <= neighbours.min() <= neighbours.max() < num_rows:
            raise ValueError(
                f"neighbours must be rows below {num_rows} or -1, found {neighbours.min()} to {neighbours.max()}."
            )
        self.num_rows, self.batch_size, self.seed = num_rows, batch_size, seed
        self._neighbours = None if neighbours is None else neighbours.cpu().numpy()
        if item_ids is not None:
            # Rows sorted by product: those of product p are from starts[p] to starts[p + 1].
            _, self._product, counts = np.unique(item_ids.cpu().numpy(), return_inverse=True, return_counts=True)
            self._by_product = np.argsort(self._product, kind="stable")
            self._starts = np.concatenate([[0], counts.cumsum()])
        self._has_products = item_ids is not None

    def __call__(self, epoch: int) -> torch.Tensor:
        """Return the order of an epoch, `[num_rows]` int64, a pure function of seed and epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        placed = np.zeros(self.num_rows, dtype=bool)
        order: list[int] = []
        for row in torch.randperm(self.num_rows, generator=generator).tolist():
            if placed[row]:
                continue
            room = self.batch_size - len(order) % self.batch_size
            for related in self._related(row):
                if room and not placed[related]:
                    placed[related] = True
                    order.append(related)
                    room -= 1
        full = self.num_rows // self.batch_size * self.batch_size
        batches = torch.tensor(order[:full], dtype=torch.int64).view(-1, self.batch_size)
        shuffled = batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([shuffled.flatten(), torch.tensor(order[full:], dtype=torch.int64)])

    def _related(self, row: int) -> list[int]:
        """List a row, the other rows of its product, then its neighbors and the rows of theirs, with repetitions."""
        rows = [row]
        if self._neighbours is not None:
            rows += [other for other in self._neighbours[row].tolist() if other >= 0]
        if not self._has_products:
            return rows
        return [other for first in rows for other in (first, *self._siblings(first))]

    def _siblings(self, row: int) -> list[int]:
        product = self._product[row]
        return self._by_product[self._starts[product] : self._starts[product + 1]].tolist()
