"""Means over the steps since the last entry, and the pace since the start."""

import pytest
import torch
from accelerate import Accelerator

from tiger_fg_hf.training.meter import Meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test advances."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def test_means_are_of_the_steps_since(fresh_accelerate):
    meter = Meter(Accelerator(cpu=True), pairs_per_step=8)
    for value in (1.0, 3.0):
        for part in (value, value + 1):  # two forward passes per step
            meter.add({"loss": torch.tensor(part, requires_grad=True)}, share=0.5)
        meter.end_step()
    meter.add({"rare": torch.tensor(4.0)})
    assert meter.means() == {"loss": 2.5, "rare": 2.0}
    meter.add({"loss": torch.tensor(7.0)})
    meter.end_step()
    assert meter.means() == {"loss": 7.0}


def test_pace_is_that_since_the_start(fresh_accelerate, clock):
    meter = Meter(Accelerator(cpu=True), pairs_per_step=8)

    def slow_batches():
        for batch in range(2):
            clock[0] += 1.0
            yield batch

    batches = slow_batches()
    for expected in range(2):
        assert meter.next_of(batches) == expected
        clock[0] += 3.0
        meter.end_step()
    assert meter.pace() == {"pairs_per_second": 2.0, "waiting_for_data": 0.25}
    assert meter.seconds == 8.0
