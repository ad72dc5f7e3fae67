"""What a run logs of its steps: means over processes, its pace, and how long it waited for data."""

import time
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from accelerate import Accelerator

T = TypeVar("T")


class Meter:
    """
    Sums values step by step, on their device, and gives their means.

    Args:
        accelerator: over whose processes the means are taken.
        pairs_per_step: over all processes.
    """

    def __init__(self, accelerator: Accelerator, pairs_per_step: int):
        self.accelerator, self.pairs_per_step = accelerator, pairs_per_step
        self.started = time.perf_counter()
        self.steps = self.waited = 0.0
        self._sums: dict[str, torch.Tensor] = {}
        self._steps_since = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def next_of(self, batches: Iterator[T]) -> T:
        """The next batch; the time it takes counts as waiting."""
        begin = time.perf_counter()
        batch = next(batches)
        self.waited += time.perf_counter() - begin
        return batch

    def add(self, values: Mapping[str, torch.Tensor], share: float = 1.0) -> None:
        """Adds scalars of one step, or of that share of a step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach() * share

    def end_step(self) -> None:
        self.steps += 1
        self._steps_since += 1

    def means(self) -> dict[str, float]:
        """Means over the steps since this was last asked, and over processes, by name."""
        means = {
            name: self.accelerator.reduce(value, reduction="mean").item() / self._steps_since
            for name, value in sorted(self._sums.items())
        }
        self._sums, self._steps_since = {}, 0
        return means

    def pace(self) -> dict[str, float]:
        """Since the start: pairs a second over all processes, and the share of the time spent waiting for data."""
        seconds = self.seconds
        return {
            "pairs_per_second": self.steps * self.pairs_per_step / seconds,
            "waiting_for_data": self.waited / seconds,
        }
