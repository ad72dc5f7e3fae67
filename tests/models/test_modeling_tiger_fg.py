"""What users of transformers expect of every model, for all supported backbones and all three models."""

import pytest
import torch
from tiny import TOWERS, VISION, assert_same, run, tensors, tiny_config, tiny_inputs, tiny_model
from transformers import (
    ViTConfig,
)

from tiger_fg_hf import TigerFGItemModel, TigerFGModel, TigerFGQueryModel

KINDS = pytest.mark.parametrize("kind", list(TOWERS))

FAMILIES = pytest.mark.parametrize("vision", list(VISION))


@KINDS
@FAMILIES
def test_save_and_load_gives_equal_outputs(kind, vision, tmp_path):
    model = tiny_model(kind, vision)
    model.save_pretrained(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not loaded.training
    for (name, saved), (_, parameter) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(saved, parameter), name
    # The order of summation depends on memory alignment, so the last bits may differ.
    assert_same(run(model, tiny_inputs(kind)), run(loaded, tiny_inputs(kind)), atol=1e-6)


@KINDS
@FAMILIES
def test_reload_restores_every_weight_and_buffer(kind, vision, tmp_path):
    """Loading initializes nothing that was saved (transformers #46620)."""
    model = tiny_model(kind, vision)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.fill_(0.01 * (index + 1))
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    for index, (name, parameter) in enumerate(loaded.named_parameters()):
        assert (parameter == torch.tensor(0.01 * (index + 1))).all(), name
    for name, buffer in loaded.named_buffers():
        torch.testing.assert_close(buffer, buffers[name])


@KINDS
@FAMILIES
def test_missing_weights_are_initialised_as_configured(kind, vision, tmp_path):
    model = TOWERS[kind][1](tiny_config(kind, vision))
    kept = "visual_projection.weight"
    model.save_pretrained(tmp_path, state_dict={kept: model.state_dict()[kept]})
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == len(model.state_dict()) - 1
    for (name, fresh), (_, parameter) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.isfinite(parameter).all(), name
        assert parameter.shape == fresh.shape
        if fresh.unique().numel() == 1:
            torch.testing.assert_close(parameter, fresh, msg=name)
        elif name.startswith(("vision_model.", "text_model.")):
            # transformers initializes some modules of CLIP and SigLIP differently inside other models. No checkpoint
            # of ours lacks them.
            continue
        elif fresh.numel() > 100:
            assert 0.6 < (parameter.std() / fresh.std()).item() < 1.6, name


@KINDS
@FAMILIES
def test_batch_equals_single(kind, vision):
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    batch = run(model, inputs)
    names = ("embeds",) if kind == "query" else ("embeds", "grounding", "slot_weights", "focus", "appearance")
    names = ("query_embeds", "item_embeds", "grounding") if kind == "joint" else names
    for row in range(3):
        single = {key: value[row : row + 1] for key, value in inputs.items()}
        if kind != "query":
            length = int(single["attention_mask"].sum())
            single |= {key: single[key][:, :length] for key in ("input_ids", "attention_mask")}
        alone = run(model, single)
        for name in names:
            torch.testing.assert_close(alone[name][0], batch[name][row], atol=1e-5, rtol=0)


@KINDS
@FAMILIES
def test_eager_equals_sdpa_and_the_switch_reaches_sub_models(kind, vision):
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    if kind != "query":
        inputs["attention_mask"][0] = 0  # an item without text
    outputs = {}
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        for name, module in model.named_modules():
            config = getattr(module, "config", None)
            if config is not None:
                assert config._attn_implementation == implementation, name
        outputs[implementation] = run(model, inputs)
    assert_same(outputs["sdpa"], outputs["eager"], atol=1e-5)


@KINDS
@FAMILIES
def test_embeddings_are_unit_vectors_and_grounding_sums_to_one(kind, vision):
    output = run(tiny_model(kind, vision), tiny_inputs(kind, height=40, width=24))
    for name in ("embeds", "query_embeds", "item_embeds"):
        if name in output:
            torch.testing.assert_close(output[name].norm(dim=-1), torch.ones(3))
            assert output[name].shape == (3, 16)
    if kind != "query":
        assert output.grounding.shape == (3, 5, 3)
        assert (output.grounding >= 0).all()
        torch.testing.assert_close(output.grounding.sum((1, 2)), torch.ones(3))


@KINDS
@FAMILIES
def test_tuple_and_dict_outputs_agree(kind, vision):
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    as_dict, as_tuple = run(model, inputs), run(model, inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    flat = list(tensors(as_dict).values())
    for a, b in zip(flat, tensors(as_tuple).values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@KINDS
@FAMILIES
def test_gradient_checkpointing_changes_no_gradient(kind, vision):
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(kind, vision).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        output = model(**tiny_inputs(kind))
        embeds = [output[name] for name in ("embeds", "query_embeds", "item_embeds") if name in output]
        sum((e * torch.linspace(-1, 1, 16)).sum() for e in embeds).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=0, msg=name)


@FAMILIES
def test_every_parameter_of_the_heads_learns(vision):
    model = tiny_model("joint", vision).train()
    model(**tiny_inputs()).logits_per_query.logsumexp(0).sum().backward()
    for name, parameter in model.named_parameters():
        if not name.startswith(("vision_model.", "text_model.")):
            assert parameter.grad is not None, name
            # This bias shifts all scores of a softmax equally.
            assert parameter.grad.abs().max() > 0 or name == "grounding_model.slot_pooling.score.fc2.bias", name


@KINDS
@FAMILIES
def test_hidden_states_and_attentions(kind, vision):
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    model.set_attn_implementation("eager")
    output = run(model, inputs, output_hidden_states=True, output_attentions=True)
    query = output if kind == "query" else output.get("query_model_output")
    item = output if kind == "item" else output.get("item_model_output")
    if query is not None:
        assert len(query.hidden_states) == 3
        assert len(query.attentions) == 2
        assert query.hidden_states[-1].shape == query.last_hidden_state.shape
    if item is not None:
        assert [h.shape for h in item.hidden_states] == [(3, 3, 32)] * 3
        torch.testing.assert_close(item.hidden_states[-1], item.last_hidden_state)
        assert [a.shape for a in item.attentions] == [(3, 4, 3, 7), (3, 4, 3, 16)]
        torch.testing.assert_close(item.attentions[0].sum(-1), torch.ones(3, 4, 3))
        padding = ~inputs["attention_mask"].bool()
        assert (item.attentions[0].permute(0, 3, 1, 2)[padding] == 0).all()
        assert len(item.vision_model_output.hidden_states) == 3
        assert len(item.text_model_output.attentions) == 2
    plain = run(model, inputs)
    assert plain.get("hidden_states") is None
    assert plain.get("attentions") is None


@KINDS
def test_sub_configs_are_those_of_the_sub_models(kind):
    model = tiny_model(kind)
    assert model.vision_model.config is model.config.vision_config
    if kind != "query":
        assert model.text_model.config is model.config.text_config
        assert model.grounding_model.config is model.config


@KINDS
@FAMILIES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(kind, vision, dtype, tmp_path):
    model = tiny_model(kind, vision)
    model.save_pretrained(tmp_path)
    low = type(model).from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in low.parameters()} == {dtype}
    name = {"query": "embeds", "item": "embeds", "joint": "item_embeds"}[kind]
    inputs = tiny_inputs(kind)
    cast = {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}
    cosine = (run(low, cast)[name].float() * run(model, inputs)[name]).sum(-1)
    assert (cosine > 0.99).all()
    low.save_pretrained(tmp_path / "low")
    assert type(model).from_pretrained(tmp_path / "low").dtype == dtype


@KINDS
@FAMILIES
def test_built_on_the_meta_device(kind, vision):
    with torch.device("meta"):
        model = TOWERS[kind][1](tiny_config(kind, vision))
    assert all(p.is_meta for p in model.parameters())
    real = TOWERS[kind][1](tiny_config(kind, vision))
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in real.named_parameters()}


def test_features_like_those_of_an_image_text_model():
    """Tokens and global features of both sides, as from dual encoders of transformers."""
    model, inputs = tiny_model("joint", share_vision_tower=False), tiny_inputs("item")
    pixels = inputs.pop("pixel_values")
    with torch.no_grad():
        image = model.get_image_features(pixels, output_hidden_states=True)
        text = model.get_text_features(**inputs, output_hidden_states=True)
        as_tuple = model.get_image_features(pixels, return_dict=False)
        query, item = model(query_pixel_values=pixels), model(**inputs)
    assert torch.equal(image.pooler_output, query.query_embeds)
    assert torch.equal(image.last_hidden_state, query.query_model_output.last_hidden_state)
    assert torch.equal(text.pooler_output, item.item_embeds)
    assert torch.equal(text.last_hidden_state, item.item_model_output.text_model_output.last_hidden_state)
    assert [len(output.hidden_states) for output in (image, text)] == [3, 3]
    assert torch.equal(as_tuple[1], image.pooler_output)


def test_damaged_weights_are_named(tmp_path):
    tiny_model("query").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(OSError, match=f"weights of '{tmp_path}' cannot be read"):
        TigerFGQueryModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("wrong", [TigerFGModel, TigerFGQueryModel, TigerFGItemModel])
def test_a_folder_of_another_model_is_refused(wrong, tmp_path):
    ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'vit' checkpoint"):
        wrong.from_pretrained(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    model = tiny_model("query")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        TigerFGQueryModel.from_pretrained(tmp_path)


def test_bad_inputs_are_named():
    model, inputs = tiny_model("joint"), tiny_inputs()
    with pytest.raises(ValueError, match="Neither queries"):
        model()
    with pytest.raises(ValueError, match="3 item images were given with 2 texts"):
        model.get_item_features(inputs["pixel_values"], inputs["input_ids"][:2], inputs["attention_mask"][:2])
    with pytest.raises(ValueError, match="smaller than one patch"):
        model.get_query_features(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="neither was given"):
        tiny_model("item")()


def test_device_map_and_disk_offload(tmp_path):
    model = tiny_model("item")
    model.save_pretrained(tmp_path)
    expected = run(model, tiny_inputs("item")).embeds
    torch.testing.assert_close(
        run(TigerFGItemModel.from_pretrained(tmp_path, device_map="cpu"), tiny_inputs("item")).embeds, expected
    )
    places = {name: "cpu" for name, _ in model.named_children()} | {"text_model": "disk"}
    offloaded = TigerFGItemModel.from_pretrained(tmp_path, device_map=places, offload_folder=str(tmp_path / "disk"))
    assert any(p.is_meta for p in offloaded.text_model.parameters())
    torch.testing.assert_close(run(offloaded, tiny_inputs("item")).embeds, expected)
