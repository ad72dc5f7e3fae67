"""The gates: their formula, their start, and their calibration."""

import pytest
import torch
from tiny import run
from tiny_tgq import tiny_tgq_config, tiny_tgq_inputs, tiny_tgq_model

from tiger_fg_hf import TGQFormerModel


def test_gates_start_as_the_identity():
    """A new model equals one without gates."""
    torch.manual_seed(0)
    model = TGQFormerModel(tiny_tgq_config()).eval()
    ungated = TGQFormerModel(tiny_tgq_config(gated=False)).eval()
    unused = ungated.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    assert unused
    assert all("_gate." in name for name in unused)
    inputs = tiny_tgq_inputs()
    output, plain = run(model, inputs), run(ungated, inputs)
    assert torch.equal(output.embeds, plain.embeds)
    for gate in ("metadata_gate", "exploratory_gate"):
        assert torch.equal(output.connector_output[gate], torch.zeros(3, 24))
        assert plain.connector_output.get(gate) is None


def test_all_signals_of_a_gate_start_with_equal_weight():
    """A single cosine counts as much as a vector of hundreds of numbers."""
    torch.manual_seed(0)
    gate = TGQFormerModel(tiny_tgq_config(gate_hidden_size=4000)).connector.network.metadata_gate
    signals = [
        length * torch.nn.functional.normalize(torch.randn(1, width), dim=-1) for width, length in gate.hidden.signals
    ]
    assert [signal.shape[1] for signal in signals] == [1, 16, 24, 24]
    for weight, signal in zip(gate.hidden.weight.split([part.shape[1] for part in signals], 1), signals, strict=True):
        assert (signal @ weight.T).std().item() == pytest.approx(0.5, rel=0.05)


def test_modulation_follows_the_paper():
    """`β = 2σ(G(u)) − 1` and `Ẽ = E · (1 + β)`, with the signals of each stream."""
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    pair = model.encode_pair(*list(inputs.values())[:3])
    network = model.connector.network
    queries = torch.cat(
        [
            network.metadata_queries(pair.title_tokens, pair.title_mask),
            network.exploratory_queries.expand(3, -1, -1),
        ],
        dim=1,
    )
    states = network.q_former(queries, pair.image_tokens)
    metadata, exploratory = states[:, :3], states[:, 3:]
    summaries = [metadata.mean(1), exploratory.mean(1)]
    output = model.connector(**pair)
    for name, stream, signals in (
        ("metadata", metadata, [pair.agreement[:, None], pair.image_embeds, *summaries]),
        ("exploratory", exploratory, [pair.image_embeds, summaries[1]]),
    ):
        gate = getattr(network, f"{name}_gate")
        hidden = gate.activation(gate.hidden(torch.cat(signals, dim=-1)))
        beta = 2 / (1 + (-gate.output(hidden)).exp()) - 1
        assert beta.abs().max() > 0.05
        torch.testing.assert_close(output[f"{name}_gate"], beta)
        torch.testing.assert_close(output[name], stream * (1 + beta[:, None]))
    torch.testing.assert_close(
        output.tokens, network.projector(torch.cat([output.metadata, output.exploratory], dim=1))
    )


def test_a_calibrated_gate_reads_standardised_agreement():
    """The other gate and connectors without gates do not change."""
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    pair = model.encode_pair(*list(inputs.values())[:3])
    mean, std = pair.agreement.mean(), pair.agreement.std(correction=0)
    plain = model.connector(**pair)
    expected = model.connector(**{**pair, "agreement": (pair.agreement - mean) / std})
    model.calibrate_agreement(pair.agreement)
    output = model.connector(**pair)
    torch.testing.assert_close(output.metadata_gate, expected.metadata_gate)
    assert not torch.allclose(output.metadata_gate, plain.metadata_gate, atol=1e-3)
    assert torch.equal(output.exploratory_gate, plain.exploratory_gate)
    same = tiny_tgq_model()
    expected = same.connector(**{**pair, "agreement": pair.agreement - 0.5})
    same.calibrate_agreement(torch.full((3,), 0.5))
    torch.testing.assert_close(same.connector(**pair).metadata_gate, expected.metadata_gate)
    for changes in ({"gated": False}, {"num_metadata_queries": 0}, {"connector": "mlp"}):
        other = tiny_tgq_model(**changes)
        assert other.metadata_gate is None
        before = {name: value.clone() for name, value in other.state_dict().items()}
        other.calibrate_agreement(pair.agreement)
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
