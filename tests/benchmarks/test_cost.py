"""Costs of a forward pass agree with hand counts."""

import pytest
import torch
from tiny import tiny_inputs, tiny_model
from torch import nn

from benchmarks.harness.cost import measure_cost


def test_a_linear_layer_costs_two_operations_a_weight():
    model = nn.ModuleDict({"used": nn.Linear(10, 20), "idle": nn.Linear(5, 5)})
    model["used"].bias.requires_grad_(False)
    cost = measure_cost(model, lambda: model["used"](torch.ones(3, 10)))
    assert cost.parameters == 220
    assert cost.gflops == pytest.approx(2 * 3 * 10 * 20 / 1e9)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_every_attention_is_counted(attention):
    model = tiny_model()
    model.set_attn_implementation(attention)
    pixels = tiny_inputs("query", batch=1)["pixel_values"]
    cost = measure_cost(model, lambda: model.get_query_features(pixels))
    # 2 layers of width 32 at 17 tokens, MLPs of 48, a projection to 16; patches of 8 px.
    per_layer = 17 * (4 * 32 * 32 + 2 * 32 * 48) + 2 * 17 * 17 * 32
    assert cost.gflops == pytest.approx(2 * (2 * per_layer + 16 * 192 * 32 + 32 * 16) / 1e9)


def test_towers_count_what_they_use():
    model = tiny_model()
    inputs = tiny_inputs("item", batch=1)
    query = measure_cost(model, lambda: model.get_query_features(inputs["pixel_values"]))
    item = measure_cost(model, lambda: model.get_item_features(**inputs))
    assert query.parameters < item.parameters < sum(p.numel() for p in model.parameters())
    assert item.gflops > query.gflops
