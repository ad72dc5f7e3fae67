"""What users of transformers expect of every model, for all supported families and connectors."""

import pytest
import torch
from tiny import run
from tiny_tgq import DUAL, LANGUAGE, tiny_tgq_config, tiny_tgq_inputs, tiny_tgq_model
from transformers import AutoModel, BertConfig, BertModel, CLIPModel

from tiger_fg_hf import TGQFormerConfig, TGQFormerModel
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS

LANGUAGES = pytest.mark.parametrize("language", LANGUAGE)

# The paper's connector with every pair of families, and every other connector once.
CASES = pytest.mark.parametrize(
    ("dual", "language", "connector"),
    [*((d, t, "tgq_former") for d in DUAL for t in LANGUAGE), *(("clip", "qwen3", c) for c in CONNECTORS[1:])],
)

ALL_CONNECTORS = pytest.mark.parametrize("connector", CONNECTORS)


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
    """Padding of titles and prompts changes nothing."""
    model, inputs = tiny_tgq_model(dual, language, connector), tiny_tgq_inputs()
    batch = run(model, inputs)
    for row in range(3):
        single = {name: value[row : row + 1] for name, value in inputs.items()}
        for prefix in ("", "title_"):
            length = int(single[f"{prefix}attention_mask"].sum())
            for name in ("input_ids", "attention_mask"):
                if prefix and dual == "siglip":  # the processor pads its titles to a fixed length
                    continue
                single[prefix + name] = single[prefix + name][:, :length]
        alone = run(model, single)
        torch.testing.assert_close(alone.embeds[0], batch.embeds[row], atol=3e-5, rtol=0)
        torch.testing.assert_close(alone.agreement[0], batch.agreement[row], atol=3e-5, rtol=0)


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
    embeds_low = run(low, inputs | {"pixel_values": inputs["pixel_values"].to(dtype)}).embeds
    assert ((embeds_low.float() * run(model, inputs).embeds).sum(-1) > 0.99).all()


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
        state = getattr(model, name).state_dict()
        assert state.keys() <= part.state_dict().keys()
        for key, value in state.items():
            assert torch.equal(value, part.state_dict()[key]), key
    assert model.temperature.logit_scale.item() == 3.0
    model.save_pretrained(tmp_path / "whole")
    assert str(tmp_path) not in (tmp_path / "whole" / "config.json").read_text()


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
        ("num_metadata_queries", -1, "num_metadata_queries must be at least 0"),
        ("num_exploratory_queries", 0, "num_exploratory_queries must be at least 1"),
        ("metadata_conv_kernel", 2, "metadata_conv_kernel must be odd"),
        ("connector_num_attention_heads", 5, "does not divide"),
        ("connector_dropout", 1.0, "connector_dropout must lie"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        TGQFormerConfig(dual_encoder_config=DUAL["clip"](), text_config=LANGUAGE["qwen3"](), **{field: value})
