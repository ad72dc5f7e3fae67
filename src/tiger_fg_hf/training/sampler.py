"""The order of the data, a pure function of seed, batch size and step."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

Key = tuple[int, int] | tuple[int, int, tuple[int, ...]]
"""`(epoch, row)`, or `(epoch, row, group)` for a row that shares a mosaic with the other rows of its group."""

# A group skips at most this many rows that do not fit, which bounds the search where one category prevails.
_LOOK_AHEAD = 32
# Separates the random stream of groups from those of pairs, which have the same seed.
_GROUP_STREAM = 3


class EpochBatchSampler(Sampler):
    """Yields this process's slice of shuffled batches of keys `(epoch, row)` and `(epoch, row, group)`.

    Step `s` of a run has the same global batch whatever the number of processes or workers, and wherever the run was
    resumed. Keys carry the epoch, so the dataset needs no state. Rows that do not fill the last batch of an epoch are
    left out of that epoch.

    With `mosaic_share`, rows of different categories within a batch are grouped to share one mosaic picture. The rows
    of a group are adjacent, and each row still occurs at most once per epoch. The slice of a process may cut a group;
    each row carries the whole group, so every process composes the same picture.

    Args:
        num_rows: Rows of the dataset.
        batch_size: Rows of the global batch, over all processes.
        num_batches: Batches in total, counted from step 0.
        seed: Seed of the order.
        rank: Which slice of each batch to yield.
        world_size: Number of slices.
        start: First batch to yield.
        mosaic_share: Approximate share of a batch's rows to group, in [0, 1]. A batch with too few categories gets
            fewer groups.
        categories: Category of each row, None for a row that is never grouped.
        item_ids: Item of each row; a group holds at most one row of an item.
        group_sizes: Smallest and largest number of rows in a group.
        order: Returns the row order of an epoch, `[num_rows]`, such as [`HardBatchOrder`]; shuffled by `seed` if
            absent.

    Raises:
        ValueError: If `batch_size` exceeds `num_rows` or is not divisible by `world_size`, `mosaic_share` or
            `group_sizes` is out of range, or mosaics are asked for but no two rows differ in category.

    Example:
        >>> list(EpochBatchSampler(4, 2, 2, order=lambda epoch: torch.arange(4)))
        [[(0, 0), (0, 1)], [(0, 2), (0, 3)]]
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
        mosaic_share: float = 0.0,
        categories: Sequence[Hashable | None] | None = None,
        item_ids: Sequence[Hashable] | None = None,
        group_sizes: tuple[int, int] = (2, 4),
        order: Callable[[int], torch.Tensor] | None = None,
    ):
        if batch_size > num_rows:
            raise ValueError(f"The batch of {batch_size} rows over all processes exceeds the dataset's {num_rows}.")
        if batch_size % world_size:
            raise ValueError(f"The batch of {batch_size} rows is not divisible by {world_size} processes.")
        if not 0 <= mosaic_share <= 1:
            raise ValueError(f"mosaic_share: expected a share in [0, 1], found {mosaic_share}.")
        if not 2 <= group_sizes[0] <= group_sizes[1]:
            raise ValueError(f"group_sizes: expected (smallest, largest) of at least 2, found {group_sizes}.")
        for name, values in (("categories", categories), ("item_ids", item_ids)):
            if values is not None and len(values) != num_rows:
                raise ValueError(f"{name}: expected one for each of {num_rows} rows, found {len(values)}.")
        self.num_rows, self.batch_size, self.num_batches = num_rows, batch_size, num_batches
        self.seed, self.start = seed, start
        share = batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        self.batches_per_epoch = num_rows // batch_size
        self.mosaic_share, self.group_sizes = mosaic_share, group_sizes
        self.order = order or self._shuffled
        if mosaic_share:
            self._categories = _codes(() if categories is None else categories)
            self._items = _codes(item_ids if item_ids is not None else range(num_rows))
            if len(np.unique(self._categories[self._categories >= 0])) < 2:
                raise ValueError(
                    f"mosaic_share={mosaic_share} needs rows of at least two categories: a mosaic shows products of "
                    "different categories. Give the catalog a category column, or train with mosaic_share=0."
                )

    def __len__(self) -> int:
        return max(0, self.num_batches - self.start)

    def __iter__(self) -> Iterator[list[Key]]:
        order: list[int] = []
        order_epoch = -1
        for batch in range(self.start, self.num_batches):
            epoch, position = divmod(batch, self.batches_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = self.order(epoch).tolist(), epoch
            rows = order[position * self.batch_size : (position + 1) * self.batch_size]
            keys: list[Key] = [(epoch, row) for row in rows]
            if self.mosaic_share:
                keys = self._grouped(epoch, rows, batch)
            yield keys[self.slice]

    def _shuffled(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.num_rows, generator=generator)

    def _grouped(self, epoch: int, rows: list[int], batch: int) -> list[Key]:
        """Group a share of the rows; groups and single rows are shuffled, so that every process gets both."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, batch], spawn_key=(_GROUP_STREAM,)))
        groups = self._groups(rows, rng)
        grouped = {row for group in groups for row in group}
        units: list[list[Key]] = [[(epoch, row, group) for row in group] for group in groups]
        units += [[(epoch, row)] for row in rows if row not in grouped]
        return [key for unit in rng.permutation(len(units)) for key in units[unit]]

    def _groups(self, rows: list[int], rng: np.random.Generator) -> list[tuple[int, ...]]:
        smallest, largest = self.group_sizes
        wanted = round(self.mosaic_share * len(rows))
        # The rows are already shuffled, so taking them in order draws random groups.
        pool = deque(row for row in rows if self._categories[row] >= 0)
        groups = []
        while wanted >= smallest and len(pool) >= smallest:
            size = min(int(rng.integers(smallest, largest + 1)), wanted)
            group: list[int] = []
            skipped: list[int] = []
            while pool and len(group) < size and len(skipped) < _LOOK_AHEAD:
                row = pool.popleft()
                (skipped if self._clashes(row, group) else group).append(row)
            pool.extendleft(reversed(skipped))
            if len(group) >= smallest:  # otherwise its rows stay single
                groups.append(tuple(group))
                wanted -= len(group)
        return groups

    def _clashes(self, row: int, group: list[int]) -> bool:
        category, item = self._categories[row], self._items[row]
        return any(category == self._categories[other] or item == self._items[other] for other in group)


def _codes(values: Sequence[Hashable | None]) -> np.ndarray:
    """Number the distinct values from 0, with -1 for None."""
    numbers: dict[Hashable | None, int] = {None: -1}
    return np.fromiter((numbers.setdefault(value, len(numbers) - 1) for value in values), np.int64, len(values))
