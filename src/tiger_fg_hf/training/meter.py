"""What a run logs about its steps: means over processes, its pace, and the time it waits for data."""

import time
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from accelerate import Accelerator

T = TypeVar("T")


class Meter:
    """Sums values step by step, on their device, and returns their means.

    Args:
        accelerator: Means are taken over its processes.
        pairs_per_step: Pairs per optimizer step, over all processes.
    """

    def __init__(self, accelerator: Accelerator, pairs_per_step: int):
        self.accelerator, self.pairs_per_step = accelerator, pairs_per_step
        self.started = time.perf_counter()
        self.steps = self.waited = 0.0
        self._sums: dict[str, torch.Tensor] = {}
        self._steps_since = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def next_of(self, batches: Iterator[T]) -> T:
        """Return the next batch, and count the time it takes as waiting."""
        begin = time.perf_counter()
        batch = next(batches)
        self.waited += time.perf_counter() - begin
        return batch

    def add(self, values: Mapping[str, torch.Tensor], share: float = 1.0) -> None:
        """Add scalars of one step, or of a `share` of it."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach() * share

    def end_step(self) -> None:
        """Count a step."""
        self.steps += 1
        self._steps_since += 1

    def means(self) -> dict[str, float]:
        """Return the means over processes and over the steps since the last call, by name."""
        means = {
            name: self.accelerator.reduce(value, reduction="mean").item() / self._steps_since
            for name, value in sorted(self._sums.items())
        }
        self._sums, self._steps_since = {}, 0
        return means

    def pace(self) -> dict[str, float]:
        """Return the pairs per second over all processes, and the share of time spent waiting for data."""
        seconds = self.seconds
        return {
            "pairs_per_second": self.steps * self.pairs_per_step / seconds,
            "waiting_for_data": self.waited / seconds,
        }
