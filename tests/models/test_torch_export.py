"""`torch.export` with a dynamic batch."""

import pytest
import torch
from tiny import tiny_inputs, tiny_model
from tiny_tgq import tiny_tgq_inputs, tiny_tgq_model

CASES = {
    "query": lambda: (tiny_model("query"), tiny_inputs("query", batch=3), tiny_inputs("query", batch=5)),
    "item": lambda: (tiny_model("item"), tiny_inputs("item", batch=3), tiny_inputs("item", batch=5)),
    "two_glances": lambda: (
        tiny_model("item", num_glances=2, first_glance_size=32, glance_size=16),
        tiny_inputs("item", batch=3, height=64, width=64),
        tiny_inputs("item", batch=5, height=64, width=64),
    ),
    "joint": lambda: (tiny_model(), tiny_inputs(batch=3), tiny_inputs(batch=5)),
}


def tgq_case(connector: str):
    inputs = tiny_tgq_inputs()
    larger = {name: torch.cat([value, value.flip(0)])[:5] for name, value in inputs.items()}
    return tiny_tgq_model(language="bert", connector=connector), inputs, larger


@pytest.mark.parametrize("kind", [*CASES, "tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp"])
@torch.no_grad()
def test_exports_with_a_dynamic_batch(kind):
    model, inputs, larger = CASES[kind]() if kind in CASES else tgq_case(kind)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (), inputs, dynamic_shapes={name: {0: batch} for name in inputs})
    exported, expected = program.module()(**larger), model(**larger)
    for name in ("embeds", "query_embeds", "item_embeds", "grounding", "extent", "logits_per_query"):
        if expected.get(name) is not None:
            torch.testing.assert_close(exported[name], expected[name], atol=1e-5, rtol=0)
