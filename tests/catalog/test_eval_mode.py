"""Models in eval mode without a change to the model that others use."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from encoding_stubs import StubModel, StubProcessor, make_dataset
from tiny import tiny_model

from tiger_fg_hf.catalog.encode import encode_items
from tiger_fg_hf.catalog.eval_mode import in_eval_mode


def test_a_model_in_train_mode_gets_a_twin_with_its_tensors():
    model = tiny_model("item").train()
    model.vision_model.eval()
    modes = [module.training for module in model.modules()]
    twin = in_eval_mode(model)
    assert [module.training for module in model.modules()] == modes
    assert not any(module.training for module in twin.modules())
    assert type(twin) is type(model)
    for mine, shared in ((model.parameters(), twin.parameters()), (model.buffers(), twin.buffers())):
        assert [id(tensor) for tensor in mine] == [id(tensor) for tensor in shared]


def test_a_model_in_eval_mode_is_used_itself():
    model = tiny_model("item").eval()
    assert in_eval_mode(model) is model


def test_the_twin_does_not_call_the_original():
    """Methods that were wrapped, as accelerate does, belong to the twin; functions cannot be taken along."""
    model = StubModel().train()
    model.forward = model.forward
    twin = in_eval_mode(model)
    assert twin.forward.__self__ is twin
    forward = model.linear.forward
    model.linear.forward = lambda states: forward(states)
    with pytest.raises(ValueError, match=r"model: the forward of linear is a function .*call model.eval\(\)"):
        in_eval_mode(model)
    assert in_eval_mode(model.eval()) is model


class Interleaved(StubProcessor):
    """Says that its caller has begun to encode, and then waits."""

    def __init__(self, has_begun: threading.Event, waits_for: threading.Event):
        super().__init__()
        self.has_begun, self.waits_for = has_begun, waits_for

    def __call__(self, *args, **options):
        self.has_begun.set()
        assert self.waits_for.wait(30)
        return super().__call__(*args, **options)


def test_threads_share_a_model_in_train_mode():
    """The second thread begins before the first ends, and ends after it."""
    model, dataset = StubModel(), make_dataset(count=4)
    expected = encode_items(StubModel().eval(), StubProcessor(), dataset)
    first_began, second_began, first_ended = (threading.Event() for _ in range(3))
    modes = [module.training for module in model.modules()]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(encode_items, model, Interleaved(first_began, second_began), dataset)
        first.add_done_callback(lambda _: first_ended.set())
        assert first_began.wait(30)
        second = pool.submit(encode_items, model, Interleaved(second_began, first_ended), dataset)
        assert second_began.wait(30)
        assert [module.training for module in model.modules()] == modes  # while both encode
        assert torch.equal(first.result(), expected)
        assert torch.equal(second.result(), expected)
    assert [module.training for module in model.modules()] == modes
