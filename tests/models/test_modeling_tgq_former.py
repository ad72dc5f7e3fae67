"""TGQ-Former's models: what they compute, and all that a transformers model is expected to do."""

import math

import pytest
import torch
from tiny import tiny_model
from tiny_tgq import CLIP_LIKE, DUAL, LANGUAGE, tiny_tgq_config, tiny_tgq_inputs, tiny_tgq_model
from transformers import AutoModel, BertConfig, BertModel, BloomConfig, CLIPModel, Siglip2Config

from tiger_fg_hf import TGQFormerConfig, TGQFormerConnector, TGQFormerModel
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.models.connector_tgq_former import span_weights
from tiger_fg_hf.models.modeling_tgq_former import match_connector_budget

DUALS = pytest.mark.parametrize("dual", DUAL)
LANGUAGES = pytest.mark.parametrize("language", LANGUAGE)
# Every pair of families with TGQ-Former's own connector, and every connector once.
CASES = pytest.mark.parametrize(
    ("dual", "language", "connector"),
    [*((d, t, "tgq_former") for d in DUAL for t in LANGUAGE), *(("clip", "qwen3", c) for c in CONNECTORS[1:])],
)
ALL_CONNECTORS = pytest.mark.parametrize("connector", CONNECTORS)


@torch.no_grad()
def run(model, inputs, **kwargs):
    return model(**inputs, **kwargs)


@CASES
def test_save_and_load(dual, language, connector, tmp_path):
    model = tiny_tgq_model(dual, language, connector)
    model.save_pretrained(tmp_path)
    expected = run(model, tiny_tgq_inputs()).embeds
    for loaded in (TGQFormerModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is TGQFormerModel
        torch.testing.assert_close(run(loaded, tiny_tgq_inputs()).embeds, expected, atol=1e-6, rtol=0)


@ALL_CONNECTORS
def test_missing_weights_are_initialised_as_configured(connector, tmp_path):
    model = TGQFormerModel(tiny_tgq_config(connector=connector))
    model.save_pretrained(tmp_path, state_dict={"temperature.logit_scale": torch.tensor(1.5)})
    loaded, info = TGQFormerModel.from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == len(model.state_dict()) - 1
    assert loaded.temperature.logit_scale == 1.5
    for (name, fresh), (_, parameter) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.isfinite(parameter).all(), name
        if name.startswith("connector.") and fresh.numel() > 100 and fresh.unique().numel() > 1:
            assert 0.6 < (parameter.std() / fresh.std()).item() < 1.6, name
        elif name.startswith("connector.") and fresh.unique().numel() == 1:
            torch.testing.assert_close(parameter, fresh, msg=name)


@CASES
def test_batch_equals_single(dual, language, connector):
    """Without an item's padding, of titles and of prompts."""
    model, inputs = tiny_tgq_model(dual, language, connector), tiny_tgq_inputs()
    batch = run(model, inputs)
    for row in range(3):
        single = {name: value[row : row + 1] for name, value in inputs.items()}
        for prefix in ("", "title_"):
            length = int(single[f"{prefix}attention_mask"].sum())
            for name in ("input_ids", "attention_mask"):
                if prefix and dual == "siglip":  # the processor pads its titles to one length
                    continue
                single[prefix + name] = single[prefix + name][:, :length]
        alone = run(model, single)
        torch.testing.assert_close(alone.embeds[0], batch.embeds[row], atol=3e-5, rtol=0)
        torch.testing.assert_close(alone.agreement[0], batch.agreement[row], atol=3e-5, rtol=0)


@LANGUAGES
def test_padding_may_stand_on_the_left(language):
    model, inputs = tiny_tgq_model(language=language), tiny_tgq_inputs()
    left = dict(inputs)
    for row in range(3):
        length = int(inputs["attention_mask"][row].sum())
        for name in ("input_ids", "attention_mask"):
            left[name] = left[name].clone()
            left[name][row] = inputs[name][row].roll(5 - length)
    torch.testing.assert_close(run(model, left).embeds, run(model, inputs).embeds, atol=5e-5, rtol=0)


@ALL_CONNECTORS
def test_eager_equals_sdpa(connector):
    model, inputs = tiny_tgq_model(connector=connector), tiny_tgq_inputs()
    outputs = {}
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        for name, module in model.named_modules():
            config = getattr(module, "config", None)
            if config is not None:
                assert config._attn_implementation == implementation, name
        outputs[implementation] = run(model, inputs).embeds
    torch.testing.assert_close(outputs["sdpa"], outputs["eager"], atol=1e-5, rtol=0)


@ALL_CONNECTORS
def test_gradient_checkpointing_changes_no_gradient(connector):
    gradients = []
    for checkpointing in (False, True):
        model = tiny_tgq_model(connector=connector).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        (model(**tiny_tgq_inputs()).embeds * torch.linspace(-1, 1, 32)).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=0, msg=name)


@ALL_CONNECTORS
@DUALS
def test_every_parameter_of_the_connector_learns(connector, dual):
    model = tiny_tgq_model(dual, connector=connector).train()
    output = model(**tiny_tgq_inputs())
    (output.logit_scale * output.embeds * torch.linspace(-1, 1, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("connector.", "late_fusion.", "temperature.")):
            assert parameter.grad is not None, name
            # A key's bias moves all scores alike.
            assert parameter.grad.abs().max() > 0 or name.endswith("k_proj.bias"), name


@pytest.mark.parametrize("connector", ["tgq_former", "q_former", "perceiver_resampler"])
def test_hidden_states_and_attentions_of_the_connector(connector):
    # The resampler's latents read the image, and themselves, in every layer.
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


def test_outputs_as_tuple():
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    as_tuple = run(model, inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert torch.equal(as_tuple[0], run(model, inputs).embeds)


@ALL_CONNECTORS
def test_built_on_the_meta_device(connector):
    config = tiny_tgq_config(connector=connector)
    with torch.device("meta"):
        model = TGQFormerModel(config)
    assert all(parameter.is_meta for parameter in model.parameters())
    real = TGQFormerModel(config)
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in real.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(dtype, tmp_path):
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    model.save_pretrained(tmp_path)
    low = TGQFormerModel.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in low.parameters()} == {dtype}
    found = run(low, inputs | {"pixel_values": inputs["pixel_values"].to(dtype)}).embeds
    assert ((found.float() * run(model, inputs).embeds).sum(-1) > 0.99).all()


@pytest.mark.parametrize("connector", ["tgq_former", "q_former", "perceiver_resampler"])
def test_queries_of_a_fresh_connector_read_the_picture(connector):
    """What leaves a query differs between pictures, of one title, more than it is the same."""
    torch.manual_seed(0)
    config = tiny_tgq_config(connector=connector, connector_hidden_size=192, connector_intermediate_size=384)
    model = TGQFormerConnector(config).eval()
    read = {}
    model.network.projector.register_forward_pre_hook(lambda module, inputs: read.update(states=inputs[0]))
    with torch.no_grad():
        model(torch.randn(32, 10, 32), torch.randn(32, 16), torch.randn(1, 5, 32).expand(32, -1, -1))
    of_picture = read["states"].var(dim=0).mean(dim=-1)
    assert (of_picture > 0.5 * read["states"].pow(2).mean(dim=(0, 2))).all()


def test_gates_start_as_the_identity():
    """A fresh model is that without gates, but for their parameters."""
    torch.manual_seed(0)
    model = TGQFormerModel(tiny_tgq_config()).eval()
    ungated = TGQFormerModel(tiny_tgq_config(gated=False)).eval()
    unused = ungated.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    assert unused
    assert all("_gate." in name for name in unused)
    inputs = tiny_tgq_inputs()
    found, plain = run(model, inputs), run(ungated, inputs)
    assert torch.equal(found.embeds, plain.embeds)
    for gate in ("metadata_gate", "exploratory_gate"):
        assert torch.equal(found.connector_output[gate], torch.zeros(3, 24))
        assert plain.connector_output.get(gate) is None


def test_every_signal_of_a_gate_starts_with_an_equal_say():
    """One cosine as much as vectors of hundreds of numbers."""
    torch.manual_seed(0)
    gate = TGQFormerModel(tiny_tgq_config(gate_hidden_size=4000)).connector.network.metadata_gate
    signals = [
        length * torch.nn.functional.normalize(torch.randn(1, width), dim=-1) for width, length in gate.hidden.signals
    ]
    assert [signal.shape[1] for signal in signals] == [1, 16, 24, 24]
    for weight, signal in zip(gate.hidden.weight.split([part.shape[1] for part in signals], 1), signals, strict=True):
        assert (signal @ weight.T).std().item() == pytest.approx(0.5, rel=0.05)


def test_modulation_is_the_formula():
    """`β = 2σ(G(u)) − 1` and `Ẽ = E · (1 + β)`, with the signals that each stream is given."""
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
    found = model.connector(**pair)
    for name, stream, signals in (
        ("metadata", metadata, [pair.agreement[:, None], pair.image_embeds, *summaries]),
        ("exploratory", exploratory, [pair.image_embeds, summaries[1]]),
    ):
        gate = getattr(network, f"{name}_gate")
        hidden = gate.activation(gate.hidden(torch.cat(signals, dim=-1)))
        beta = 2 / (1 + (-gate.output(hidden)).exp()) - 1
        assert beta.abs().max() > 0.05
        torch.testing.assert_close(found[f"{name}_gate"], beta)
        torch.testing.assert_close(found[name], stream * (1 + beta[:, None]))
    torch.testing.assert_close(found.tokens, network.projector(torch.cat([found.metadata, found.exploratory], dim=1)))


def test_a_calibrated_gate_hears_agreement_in_standard_deviations():
    """As if the cosines came standardised; the other gate, and connectors without them, stay as they are."""
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    pair = model.encode_pair(*list(inputs.values())[:3])
    mean, std = pair.agreement.mean(), pair.agreement.std(correction=0)
    plain = model.connector(**pair)
    expected = model.connector(**{**pair, "agreement": (pair.agreement - mean) / std})
    model.calibrate_agreement(pair.agreement)
    found = model.connector(**pair)
    torch.testing.assert_close(found.metadata_gate, expected.metadata_gate)
    assert not torch.allclose(found.metadata_gate, plain.metadata_gate, atol=1e-3)
    assert torch.equal(found.exploratory_gate, plain.exploratory_gate)
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


def test_only_the_metadata_stream_knows_the_title_before_they_meet():
    """Titles change the exploratory stream through self-attention alone, and its gate not at all of itself."""
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    with torch.no_grad():
        for layer in model.connector.network.q_former.layers:
            layer.self_attn.out_proj.weight.zero_()
            layer.self_attn.out_proj.bias.zero_()
    other = inputs | {"title_input_ids": inputs["title_input_ids"].flip(0)}
    found, changed = run(model, inputs).connector_output, run(model, other).connector_output
    for name in ("exploratory", "exploratory_gate"):
        torch.testing.assert_close(found[name], changed[name])
    for name in ("metadata", "metadata_gate"):
        assert not torch.allclose(found[name], changed[name], atol=1e-3)


@pytest.mark.parametrize("dual", CLIP_LIKE)
def test_agreement_is_the_dual_encoders_cosine(dual):
    model, inputs = tiny_tgq_model(dual), tiny_tgq_inputs()
    with torch.no_grad():
        output = model.dual_encoder(
            input_ids=inputs["title_input_ids"],
            attention_mask=None if dual == "siglip" else inputs["title_attention_mask"],
            pixel_values=inputs["pixel_values"],
        )
    cosine = torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds)
    torch.testing.assert_close(run(model, inputs).agreement, cosine, atol=1e-5, rtol=0)


@LANGUAGES
def test_items_without_title_without_text_or_without_image(language):
    model, inputs = tiny_tgq_model(language=language), tiny_tgq_inputs()
    titles = {name: value for name, value in inputs.items() if not name.startswith("title_")}
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    no_title, no_image, full = run(model, titles), run(model, texts), run(model, inputs)
    no_text = run(model, {name: value for name, value in inputs.items() if name not in texts})
    assert no_title.agreement.tolist() == [0.0] * 3
    assert no_image.connector_output is None
    mixed = {name: value.clone() for name, value in inputs.items()}
    mixed["title_attention_mask"][0] = 0
    mixed["image_mask"] = torch.tensor([1, 0, 1])
    output = run(model, mixed)
    torch.testing.assert_close(output.embeds[0], no_title.embeds[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.embeds[1], no_image.embeds[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.embeds[2], full.embeds[2], atol=1e-5, rtol=0)
    assert output.agreement[:2].tolist() == [0.0, 0.0]
    bare = {name: value.clone() for name, value in inputs.items()}
    bare["attention_mask"][0] = 0
    torch.testing.assert_close(run(model, bare).embeds[0], no_text.embeds[0], atol=1e-5, rtol=0)
    for embeds in (output.embeds, no_text.embeds, no_image.embeds):
        torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(3))


@LANGUAGES
def test_a_text_alone_is_what_the_language_model_says(language):
    """Positions, masks and pooling are its own."""
    model, inputs = tiny_tgq_model(language=language), tiny_tgq_inputs()
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        hidden = model.language_model(**texts).last_hidden_state
    found = run(model, texts).last_hidden_state
    real = texts["attention_mask"].bool()
    torch.testing.assert_close(found[real], hidden[real], atol=1e-5, rtol=0)


def test_no_gradient_goes_through_the_dual_encoder():
    model = tiny_tgq_model().train()
    model.dual_encoder.text_model.enable_input_require_grads()
    model(**tiny_tgq_inputs()).embeds.sum().backward()
    assert all(parameter.grad is None for parameter in model.dual_encoder.parameters())


def test_a_language_model_that_takes_no_positions_is_named():
    config = TGQFormerConfig(
        dual_encoder_config=DUAL["clip"](), text_config=BloomConfig(vocab_size=99, hidden_size=32)
    )
    with pytest.raises(ValueError, match="BloomModel cannot read visual tokens: its forward takes no position_ids"):
        TGQFormerModel(config)


def test_a_language_model_whose_words_have_an_unknown_width_is_named(monkeypatch):
    monkeypatch.setattr(TGQFormerConfig, "token_width", 24)
    with pytest.raises(
        ValueError, match="BertModel cannot read visual tokens: its word embeddings are 32 wide, not 24"
    ):
        TGQFormerModel(tiny_tgq_config(language="bert"))


def test_what_is_no_language_model_is_named():
    config = TGQFormerConfig(dual_encoder_config=DUAL["clip"](), text_config=DUAL["clip"]())
    with pytest.raises(ValueError, match="A 'clip' is no language model: it has no hidden_size"):
        TGQFormerModel(config)


def test_an_unknown_connector_to_match_is_named():
    with pytest.raises(ValueError, match=r"The connector must be one of tgq_former, .*, got 'qformer'"):
        match_connector_budget(tiny_tgq_config(), "qformer")


def test_late_fusion_needs_words_as_wide_as_the_output():
    with pytest.raises(ValueError, match=r"notellm2 .* equally wide, got 16 and 32"):
        tiny_tgq_config(language="albert", connector="notellm2")


def test_dual_encoders_that_cannot_be_read_are_named():
    tower = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    naflex = Siglip2Config(text_config=dict(tower), vision_config={**tower, "num_patches": 16, "patch_size": 8})
    with pytest.raises(ValueError, match="a 'siglip2', which does not take pictures of any size as pixels"):
        TGQFormerModel(TGQFormerConfig(dual_encoder_config=naflex, text_config=LANGUAGE["bert"]()))


def test_a_kept_pair_gives_the_same_embeddings():
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    with torch.no_grad():
        pair = model.encode_pair(*list(inputs.values())[:3])
        kept = model.embed(pair, inputs["input_ids"], inputs["attention_mask"])
    torch.testing.assert_close(kept.embeds, run(model, inputs).embeds)


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
            whole = {"text": text, "visual": visual}[expected]
            torch.testing.assert_close(output.embeds, torch.nn.functional.normalize(whole, dim=-1))


@pytest.mark.parametrize("spans", [1, 3, 8])
def test_spans_are_adaptive_average_pooling_of_real_tokens(spans):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, 10, 3, generator=generator)
    mask = torch.rand(4, 10, generator=generator) < 0.6
    mask[3] = False
    found = span_weights(mask, spans) @ states
    for row in range(3):
        real = states[row, mask[row]].T[None]
        expected = torch.nn.functional.adaptive_avg_pool1d(real, spans)[0].T
        torch.testing.assert_close(found[row], expected)
    assert found[3].abs().max() == 0


@pytest.mark.parametrize("connector", [name for name in CONNECTORS if name != "tgq_former"])
def test_baselines_have_the_same_budget(connector):
    config = tiny_tgq_config()
    own = TGQFormerModel(config)
    other = TGQFormerModel(match_connector_budget(config, connector))
    assert config.connector == "tgq_former"

    def count(model):
        return model.num_parameters() - model.dual_encoder.num_parameters() - model.language_model.num_parameters()

    assert count(other) == pytest.approx(count(own), rel=0.1)
    # At the paper's scale too.
    full = TGQFormerConfig()
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in TGQFormerConnector(c).parameters())
            for c in (full, match_connector_budget(full, connector))
        ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_a_budget_that_cannot_be_met_is_named():
    smallest = tiny_tgq_config(connector_intermediate_size=1, num_metadata_queries=0, gated=False)
    with pytest.raises(ValueError, match=r"notellm2 connector has .* parameters at least"):
        match_connector_budget(smallest, "notellm2")


def test_the_default_is_the_papers_scale():
    with torch.device("meta"):
        model = TGQFormerModel(TGQFormerConfig())
    assert model.dual_encoder.num_parameters() == 188_262_913  # Chinese-CLIP ViT-B/16
    assert model.language_model.num_parameters() == 595_776_512  # Qwen3-Embedding-0.6B
    assert model.get_input_embeddings().weight.shape == (151669, 1024)
    assert model.config.text_config.rope_parameters["rope_theta"] == 1e6
    assert model.connector.network.projector.fc2.weight.shape == (1024, 768)


@pytest.mark.parametrize(("language", "pooling"), [("qwen3", "last"), ("bert", "mean")])
def test_from_backbones(language, pooling, tmp_path):
    torch.manual_seed(0)
    CLIPModel(DUAL["clip"]()).save_pretrained(tmp_path / "dual")
    AutoModel.from_config(LANGUAGE[language]()).save_pretrained(tmp_path / "language")
    sizes = {"connector_hidden_size": 24, "connector_num_layers": 1, "connector_num_attention_heads": 4}
    model = TGQFormerModel.from_backbones(
        str(tmp_path / "dual"), str(tmp_path / "language"), connector_intermediate_size=48, **sizes
    )
    assert not model.training
    assert model.config.pooling == pooling
    loaded = {"dual_encoder": CLIPModel.from_pretrained(tmp_path / "dual")}
    loaded["language_model"] = AutoModel.from_pretrained(tmp_path / "language")
    for name, part in loaded.items():
        own = getattr(model, name).state_dict()
        assert own.keys() <= part.state_dict().keys()
        for key, value in own.items():
            assert torch.equal(value, part.state_dict()[key]), key
    assert model.temperature.logit_scale.item() == 3.0
    model.save_pretrained(tmp_path / "whole")
    assert str(tmp_path) not in (tmp_path / "whole" / "config.json").read_text()


def test_a_tiger_fg_as_dual_encoder(tmp_path):
    """Its query tower sees the pictures, its item tower reads the titles, and their cosine is the agreement."""
    tiger_fg = tiny_model("joint", "deit", share_vision_tower=False)
    tiger_fg.save_pretrained(tmp_path / "dual")
    BertModel(LANGUAGE["bert"]()).save_pretrained(tmp_path / "language")
    sizes = {"connector_hidden_size": 24, "connector_num_layers": 1, "connector_num_attention_heads": 4}
    model = TGQFormerModel.from_backbones(str(tmp_path / "dual"), str(tmp_path / "language"), **sizes)
    inputs = tiny_tgq_inputs()
    with torch.no_grad():
        pair = model.encode_pair(*list(inputs.values())[:3])
        queries = tiger_fg.get_query_features(inputs["pixel_values"])
        titles = tiger_fg.get_item_features(
            input_ids=inputs["title_input_ids"], attention_mask=inputs["title_attention_mask"]
        )
    torch.testing.assert_close(pair.image_embeds, queries)
    torch.testing.assert_close(pair.agreement, (queries * titles).sum(dim=-1))
    assert pair.agreement.unique().numel() == 3
    assert pair.image_tokens.shape == (3, 18, 32)  # class and distillation tokens, and a grid of 4 x 4
    model.save_pretrained(tmp_path / "whole")
    loaded = TGQFormerModel.from_pretrained(tmp_path / "whole")
    assert torch.equal(run(loaded, inputs).embeds, run(model, inputs).embeds)
    tiger_fg.towers()[0].save_pretrained(tmp_path / "query")
    with pytest.raises(ValueError, match=r"holds a 'tiger_fg_query', which is no .* TIGER-FG of both towers"):
        TGQFormerModel.from_backbones(str(tmp_path / "query"), str(tmp_path / "language"), **sizes)


def test_a_backbone_that_is_no_dual_encoder_is_refused(tmp_path):
    BertModel(BertConfig(**LANGUAGE["bert"]().to_diff_dict())).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'bert', which is no image-text dual encoder"):
        TGQFormerModel.from_backbones(str(tmp_path), str(tmp_path))


def test_a_misspelt_field_is_refused():
    with pytest.raises(TypeError, match="TGQFormerConfig has no field num_querys"):
        TGQFormerModel.from_backbones("dual", "language", num_querys=3)


def test_a_folder_of_another_model_is_refused(tmp_path):
    BertModel(BertConfig(**LANGUAGE["bert"]().to_diff_dict())).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'bert' checkpoint; a 'tgq_former' one cannot be read"):
        TGQFormerModel.from_pretrained(tmp_path)


def test_damaged_weights_are_named(tmp_path):
    tiny_tgq_model().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match=f"weights of '{tmp_path}' cannot be read"):
        TGQFormerModel.from_pretrained(tmp_path)


def test_temperature_is_bounded_and_finds_its_way_back():
    model = tiny_tgq_model(logit_scale_max=10.0)
    with torch.no_grad():
        model.temperature.logit_scale.fill_(math.log(1000.0))
    scale = model(**tiny_tgq_inputs()).logit_scale
    assert scale == 10.0
    scale.backward()
    assert model.temperature.logit_scale.grad > 0


def test_bad_calls():
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    with pytest.raises(ValueError, match="neither was given"):
        model(title_input_ids=inputs["title_input_ids"])
    with pytest.raises(ValueError, match="different numbers of items"):
        model(pixel_values=inputs["pixel_values"][:2], input_ids=inputs["input_ids"])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("connector", "linear", "connector must be one of tgq_former"),
        ("pooling", "max", "pooling must be one of last, mean"),
        ("num_metadata_queries", -1, "num_metadata_queries must not be negative"),
        ("num_exploratory_queries", 0, "num_exploratory_queries must be at least 1"),
        ("metadata_conv_kernel", 2, "metadata_conv_kernel must be odd"),
        ("connector_num_attention_heads", 5, "does not divide"),
        ("connector_dropout", 1.0, "connector_dropout must lie"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        TGQFormerConfig(dual_encoder_config=DUAL["clip"](), text_config=LANGUAGE["qwen3"](), **{field: value})
