"""Orders of the rows that bring hard negatives, or listings of one product, into one batch."""

import numpy as np
import torch


class HardBatchOrder:
    """
    A permutation of the rows for each epoch, in which rows that belong together share a batch.

    Rows are taken in random order. Each comes with the rows of its product that are left, then with its neighbours
    that are left and theirs, until the batch is full; what did not fit follows in a later batch. The more rows are
    taken, the fewer neighbours are left, so whole batches are shuffled in the end: hard ones come at any time. Each
    row occurs once.

    Args:
        num_rows: rows of the dataset.
        batch_size: rows of the global batch.
        neighbours (`[num_rows, m]`, integer, *optional*): rows that are hard negatives of each row, hardest first,
            padded with -1, as [`mine_hard_negatives`] gives them for queries and items of the same rows.
        item_ids (`[num_rows]`, integer, *optional*): product of each row; rows of one product are then adjacent,
            unless the batch ends between them.
        seed: of the orders.

    Raises:
        ValueError: neither neighbours nor item ids are given, or they do not fit the rows.
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
            # Rows sorted by product; those of product p are from starts[p] to starts[p + 1].
            _, self._product, counts = np.unique(item_ids.cpu().numpy(), return_inverse=True, return_counts=True)
            self._by_product = np.argsort(self._product, kind="stable")
            self._starts = np.concatenate([[0], counts.cumsum()])
        self._has_products = item_ids is not None

    def __call__(self, epoch: int) -> torch.Tensor:
        """The order of an epoch, `[num_rows]` int64: a pure function of seed and epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        placed = np.zeros(self.num_rows, dtype=bool)
        order: list[int] = []
        for row in torch.randperm(self.num_rows, generator=generator).tolist():
            if placed[row]:
                continue
            room = self.batch_size - len(order) % self.batch_size
            for company in self._company(row):
                if room and not placed[company]:
                    placed[company] = True
                    order.append(company)
                    room -= 1
        whole = self.num_rows // self.batch_size * self.batch_size
        batches = torch.tensor(order[:whole], dtype=torch.int64).view(-1, self.batch_size)
        shuffled = batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([shuffled.flatten(), torch.tensor(order[whole:], dtype=torch.int64)])

    def _company(self, row: int) -> list[int]:
        """A row, the other rows of its product, then its neighbours and theirs; rows may occur twice."""
        rows = [row]
        if self._neighbours is not None:
            rows += [other for other in self._neighbours[row].tolist() if other >= 0]
        if not self._has_products:
            return rows
        return [other for first in rows for other in (first, *self._siblings(first))]

    def _siblings(self, row: int) -> list[int]:
        product = self._product[row]
        return self._by_product[self._starts[product] : self._starts[product + 1]].tolist()
