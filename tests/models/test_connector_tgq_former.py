"""The connectors: queries, Q-Former layers, and what they read."""

import pytest
import torch
from tiny import run
from tiny_tgq import DUAL, tiny_tgq_config, tiny_tgq_inputs, tiny_tgq_model

from tiger_fg_hf import TGQFormerConnector
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.models.connector_tgq_former import span_weights

DUALS = pytest.mark.parametrize("dual", DUAL)

ALL_CONNECTORS = pytest.mark.parametrize("connector", CONNECTORS)


@ALL_CONNECTORS
@DUALS
def test_every_parameter_of_the_connector_learns(connector, dual):
    model = tiny_tgq_model(dual, connector=connector).train()
    output = model(**tiny_tgq_inputs())
    (output.logit_scale * output.embeds * torch.linspace(-1, 1, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("connector.", "late_fusion.", "temperature.")):
            assert parameter.grad is not None, name
            # The bias of keys shifts all scores equally.
            assert parameter.grad.abs().max() > 0 or name.endswith("k_proj.bias"), name


@pytest.mark.parametrize("connector", ["tgq_former", "q_former", "perceiver_resampler"])
def test_hidden_states_and_attentions_of_the_connector(connector):
    # The resampler's latents read the image and themselves in every layer.
    reading, read = (3, 17 + 5) if connector == "perceiver_resampler" else (2, 17)
    model, inputs = tiny_tgq_model(connector=connector, connector_num_layers=3), tiny_tgq_inputs()
    model.set_attn_implementation("eager")
    connected = run(model, inputs, output_hidden_states=True, output_attentions=True).connector_output
    assert [states.shape for states in connected.hidden_states] == [(3, 5, 24)] * 4
    assert [weights.shape for weights in connected.attentions] == [(3, 4, 5, read)] * reading
    torch.testing.assert_close(connected.attentions[0].sum(-1), torch.ones(3, 4, 5))
    plain = run(model, inputs)
    assert plain.get("hidden_states") is None
    assert plain.connector_output.get("attentions") is None


@pytest.mark.parametrize("connector", ["tgq_former", "q_former", "perceiver_resampler"])
def test_queries_of_a_new_connector_read_the_image(connector):
    """With the same title, outputs of a query vary between images more than they have in common."""
    torch.manual_seed(0)
    config = tiny_tgq_config(connector=connector, connector_hidden_size=192, connector_intermediate_size=384)
    model = TGQFormerConnector(config).eval()
    read = {}
    model.network.projector.register_forward_pre_hook(lambda module, inputs: read.update(states=inputs[0]))
    with torch.no_grad():
        model(torch.randn(32, 10, 32), torch.randn(32, 16), torch.randn(1, 5, 32).expand(32, -1, -1))
    of_picture = read["states"].var(dim=0).mean(dim=-1)
    assert (of_picture > 0.5 * read["states"].pow(2).mean(dim=(0, 2))).all()


def test_post_norm_q_former_is_that_of_blip_2():
    """Each sublayer's output is normalized, and so are the queries at first."""
    model, inputs = tiny_tgq_model(connector_pre_norm=False), tiny_tgq_inputs()
    q_former, image = model.connector.network.q_former, torch.randn(3, 17, 32)
    assert model.state_dict().keys() == tiny_tgq_model().state_dict().keys()
    queries = torch.randn(3, 5, 24)
    tokens, states = q_former.image_norm(image), q_former.norm(queries)
    for layer in q_former.layers:
        states = layer.self_norm(states + layer.self_attn(states, states)[0])
        if layer.cross_attn is not None:
            states = layer.cross_norm(states + layer.cross_attn(states, tokens)[0])
        states = layer.mlp_norm(states + layer.mlp(states))
    torch.testing.assert_close(q_former(queries, image), states)
    assert torch.isfinite(run(model, inputs).embeds).all()


def test_titles_enter_through_the_metadata_stream_only():
    """Titles reach the exploratory stream through self-attention only, and its gate not directly."""
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    with torch.no_grad():
        for layer in model.connector.network.q_former.layers:
            layer.self_attn.out_proj.weight.zero_()
            layer.self_attn.out_proj.bias.zero_()
    other = inputs | {"title_input_ids": inputs["title_input_ids"].flip(0)}
    output, changed = run(model, inputs).connector_output, run(model, other).connector_output
    for name in ("exploratory", "exploratory_gate"):
        torch.testing.assert_close(output[name], changed[name])
    for name in ("metadata", "metadata_gate"):
        assert not torch.allclose(output[name], changed[name], atol=1e-3)


def test_late_fusion_needs_words_as_wide_as_the_output():
    with pytest.raises(ValueError, match=r"notellm2 .* equally wide, got 16 and 32"):
        tiny_tgq_config(language="albert", connector="notellm2")


def test_late_fusion_mixes_the_visual_tokens_with_the_text_embedding():
    model, inputs = tiny_tgq_model(connector="notellm2"), tiny_tgq_inputs()
    with torch.no_grad():
        for bias, expected in ((-30.0, "text"), (30.0, "visual")):
            model.late_fusion.gate.weight.zero_()
            model.late_fusion.gate.bias.fill_(bias)
            output = run(model, inputs)
            last = 5 + inputs["attention_mask"].sum(1) - 1
            text = output.last_hidden_state[torch.arange(3), last]
            visual = output.connector_output.tokens.mean(1)
            mixed = {"text": text, "visual": visual}[expected]
            torch.testing.assert_close(output.embeds, torch.nn.functional.normalize(mixed, dim=-1))


@pytest.mark.parametrize("spans", [1, 3, 8])
def test_spans_are_adaptive_average_pooling_of_real_tokens(spans):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, 10, 3, generator=generator)
    mask = torch.rand(4, 10, generator=generator) < 0.6
    mask[3] = False
    output = span_weights(mask, spans) @ states
    for row in range(3):
        real = states[row, mask[row]].T[None]
        expected = torch.nn.functional.adaptive_avg_pool1d(real, spans)[0].T
        torch.testing.assert_close(output[row], expected)
    assert output[3].abs().max() == 0
