"""Settings of the whole suite: offline, quiet, and one thread, which is enough for models of this size."""

import os

# Before any Hugging Face library is imported, here or in a process that a test starts.
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState


def pytest_configure():
    torch.set_num_threads(1)


@pytest.fixture
def fresh_accelerate():
    """Accelerate as in a new process: its state is global, and would fix the first test's precision for all."""
    states = (AcceleratorState, GradientState, PartialState)

    def reset():
        for state in states:
            state._reset_state()

    reset()
    yield reset
    reset()
