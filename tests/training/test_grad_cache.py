"""GradCache: the loss and the gradients of the whole batch, in the memory of one chunk."""

import pytest
import torch
from accelerate import Accelerator
from memory import PeakSaved
from torch import nn
from training_batches import CLOSE_WEIGHTS, chunks, gradients, in_one_graph, tiny_student, training_batch

from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.grad_cache import GradCache

IDS = [0, 1, 2, 3, 4, 2, 6]


def assert_equal_steps(found: nn.Module, expected: nn.Module) -> None:
    found, expected = gradients(found), gradients(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=lambda t, n=name: f"{n}: {t}")
    assert sum(gradient.abs().max() > 1e-4 for gradient in expected.values()) > len(expected) / 2


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("pictures", [None, 3])
def test_equals_the_whole_batch(fresh_accelerate, rows, pictures):
    """For any chunk size, even one that does not divide the batch, and with pictures that several chunks share."""
    batch = training_batch(IDS, pictures)
    cached, plain = tiny_student(), tiny_student()
    losses = GradCache(Accelerator(cpu=True), TigerFGTask(cached), rows)(batch)
    expected = TigerFGTask(plain)(batch)
    expected["loss"].backward()
    assert losses.keys() == expected.keys() >= {"loss", "q2i", "v2t", "i2v", "logit_scale"}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach(), atol=1e-5, rtol=0, msg=name)
        assert not losses[name].requires_grad
    assert_equal_steps(cached, plain)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("close", [[2, -1, 0, -1, 1, 2, -1], [-1, -1, -1, 0, -1, -1, -1], [-1] * 7])
def test_close_views_equal_the_whole_batch(fresh_accelerate, rows, close):
    """Even if chunks have no close view, or the whole batch has none."""
    batch = training_batch(IDS, 3, close=close)
    cached, plain = tiny_student(weights=CLOSE_WEIGHTS), tiny_student(weights=CLOSE_WEIGHTS)
    losses = GradCache(Accelerator(cpu=True), TigerFGTask(cached, CLOSE_WEIGHTS), rows)(batch)
    expected = TigerFGTask(plain, CLOSE_WEIGHTS)(batch)
    expected["loss"].backward()
    assert losses.keys() == expected.keys() >= {"close", "sdd", "grounding"}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach(), atol=1e-5, rtol=0, msg=name)
    assert_equal_steps(cached, plain)


@pytest.mark.parametrize("rows", [2, 7])
def test_dropout_draws_the_same_masks_twice(fresh_accelerate, rows):
    """Afterwards, the generator is where one pass would have left it."""
    batch = training_batch(IDS)
    cached, plain = tiny_student(dropout=0.3), tiny_student(dropout=0.3)
    torch.manual_seed(7)
    losses = GradCache(Accelerator(cpu=True), TigerFGTask(cached), rows)(batch)
    after = torch.rand(3)
    torch.manual_seed(7)
    expected = in_one_graph(TigerFGTask(plain), batch, chunks(7, rows))
    torch.testing.assert_close(losses["loss"], expected["loss"].detach(), atol=1e-5, rtol=0)
    assert_equal_steps(cached, plain)
    assert torch.equal(after, torch.rand(3))


class Toy(nn.Module):
    """Representations of every kind: unused by the loss, without gradient, and a parameter itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.unused, self.scale = nn.Linear(4, 3), nn.Linear(4, 2), nn.Parameter(torch.tensor(1.5))
        self.frozen = nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x: torch.Tensor, **labels) -> dict[str, torch.Tensor]:
        return {
            "used": self.layer(x),
            "unused": self.unused(x),
            "constant": self.frozen(x),
            "rows": labels["item_ids"],
            "scale": self.scale,
        }


class ToyTask:
    """Its loss mixes all rows and draws random numbers, like a sampled loss."""

    def __init__(self, student: Toy):
        self.student = student

    def represent(self, batch):
        return self.student(**batch)

    def loss(self, representations, batch):
        assert torch.equal(representations["rows"], batch["item_ids"])
        mixed = representations["used"] @ representations["constant"].T * torch.rand(len(batch["item_ids"]))
        loss = (mixed * representations["scale"]).logsumexp(1).mean()
        return {"loss": loss, "detail": mixed.detach().mean()}


def toy_batch(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(7, 4, generator=generator), "item_ids": torch.arange(7)}


def test_representations_without_gradient(fresh_accelerate):
    cached, plain = Toy(), Toy()
    torch.manual_seed(3)
    GradCache(Accelerator(cpu=True), ToyTask(cached), 2)(toy_batch())
    after = torch.rand(3)
    torch.manual_seed(3)
    in_one_graph(ToyTask(plain), toy_batch(), chunks(7, 2))
    assert torch.equal(after, torch.rand(3))
    for name in ("layer.weight", "layer.bias", "scale"):
        found, expected = cached.get_parameter(name).grad, plain.get_parameter(name).grad
        torch.testing.assert_close(found, expected, msg=name)
        assert found.abs().max() > 1e-3
    assert cached.unused.weight.grad is None
    assert cached.frozen.weight.grad is None


def test_only_the_temperature_is_trained(fresh_accelerate):
    cached, plain = Toy(), Toy()
    for toy in (cached, plain):
        toy.layer.requires_grad_(False)
        torch.manual_seed(0)
        GradCache(Accelerator(cpu=True), ToyTask(toy), 2 if toy is cached else 7)(toy_batch())
    torch.testing.assert_close(cached.scale.grad, plain.scale.grad)


def test_accumulation_adds_up(fresh_accelerate):
    """Half the gradient of each of two batches, as Accelerate divides them."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    cached, plain = tiny_student(), tiny_student()
    for seed in range(2):
        batch = training_batch(IDS, seed=seed)
        with accelerator.accumulate(cached):
            assert accelerator.sync_gradients == (seed == 1)
            GradCache(accelerator, TigerFGTask(cached), 2)(batch)
        (TigerFGTask(plain)(batch)["loss"] / 2).backward()
    assert_equal_steps(cached, plain)


def test_half_precision(fresh_accelerate):
    """Under bfloat16 autocast both passes of a chunk give the same numbers, so the step is as exact as a plain one."""
    batch = training_batch(IDS)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    cached, plain = tiny_student(dropout=0.2), tiny_student(dropout=0.2)
    torch.manual_seed(5)
    task = TigerFGTask(accelerator.prepare(cached))
    losses = GradCache(accelerator, task, 3)(batch)
    torch.manual_seed(5)
    expected = in_one_graph(TigerFGTask(accelerator.prepare(plain)), batch, chunks(7, 3))
    assert task.represent(batch)["query_embeds"].dtype == torch.float32
    torch.testing.assert_close(losses["loss"], expected["loss"].detach(), atol=1e-5, rtol=0)
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(cached)[name], gradient, atol=1e-4, rtol=1e-2, msg=name)


def test_scaled_loss_scales_once(fresh_accelerate):
    """Gradients carry float16's scale exactly once, as in a plain step."""
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    cached, plain = tiny_student(), tiny_student()
    batch = training_batch(IDS)
    GradCache(accelerator, TigerFGTask(cached), 2)(batch)
    accelerator.backward(TigerFGTask(plain)(batch)["loss"])
    assert gradients(plain)["model.logit_scale"].abs() > 1
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(cached)[name], gradient, atol=1e-2, rtol=1e-4, msg=name)


def test_memory_is_that_of_a_chunk(fresh_accelerate):
    """Eight times the batch, in chunks, keeps no more for the backward pass than a batch of one chunk."""

    def peak(pairs: int, rows: int) -> int:
        task = TigerFGTask(tiny_student())
        batch = training_batch(list(range(pairs)))
        with PeakSaved(beside=[*batch.values(), *task.student.parameters()]) as saved:
            GradCache(Accelerator(cpu=True), task, rows)(batch)
        return saved.peak

    small, large, whole = peak(8, 8), peak(64, 8), peak(64, 64)
    assert large <= 1.1 * small
    assert whole > 5 * small
