"""Properties that users of transformers expect of every model, over all backbone families and all three models."""

import copy
import math

import pytest
import torch
from tiny import TEXT, TOWERS, VISION, tensors, tiny_config, tiny_inputs, tiny_model
from transformers import (
    BertModel,
    CLIPConfig,
    CLIPModel,
    ResNetConfig,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from tiger_fg_hf import TigerFGConfig, TigerFGItemModel, TigerFGModel, TigerFGQueryModel

KINDS = pytest.mark.parametrize("kind", list(TOWERS))
FAMILIES = pytest.mark.parametrize("vision", list(VISION))
TEXTS = pytest.mark.parametrize("text", list(TEXT))


def run(model, inputs, **kwargs):
    with torch.no_grad():
        return model(**inputs, **kwargs)


def assert_same(a, b, atol=0.0):
    a, b = tensors(a), tensors(b)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=atol, rtol=0, msg=lambda told, name=name: f"{name}: {told}")


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
    # Equal but for the last bit: the kernels' order of summation depends on how memory happens to be aligned.
    assert_same(run(model, tiny_inputs(kind)), run(loaded, tiny_inputs(kind)), atol=1e-6)


@KINDS
@FAMILIES
def test_reload_restores_every_weight_and_buffer(kind, vision, tmp_path):
    """Constants survive a round trip: nothing is initialised anew behind the user's back (transformers #46620)."""
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
            # transformers initialises some modules of CLIP and SigLIP another way when the model around them is not
            # its own; no checkpoint of ours lacks them.
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


@TEXTS
def test_text_families_ignore_padding(text):
    model, inputs = tiny_model("item", text=text), tiny_inputs("item")
    batch = run(model, inputs)
    for row in range(3):
        length = int(inputs["attention_mask"][row].sum())
        alone = run(
            model,
            {
                "pixel_values": inputs["pixel_values"][row : row + 1],
                "input_ids": inputs["input_ids"][row : row + 1, :length],
                "attention_mask": inputs["attention_mask"][row : row + 1, :length],
            },
        )
        torch.testing.assert_close(alone.embeds[0], batch.embeds[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.grounding[0], batch.grounding[row], atol=1e-5, rtol=0)


@TEXTS
def test_text_families_save_and_load(text, tmp_path):
    model = tiny_model("item", text=text)
    model.save_pretrained(tmp_path)
    loaded = TigerFGItemModel.from_pretrained(tmp_path)
    assert_same(run(model, tiny_inputs("item")), run(loaded, tiny_inputs("item")), atol=1e-6)


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
            # That bias moves all scores of a softmax alike.
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


@pytest.mark.parametrize("kind", ["query", "item"])
@pytest.mark.parametrize("vision", [name for name in VISION if name != "siglip2"])
def test_towers_compile_without_graph_breaks(kind, vision):
    """SigLIP 2's NaFlex encoder breaks the graph by itself: it reads grid sizes back from the device."""
    torch._dynamo.reset()
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(run(compiled, inputs)["embeds"], run(model, inputs)["embeds"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["query", "item"])
@pytest.mark.parametrize("share", [True, False])
def test_towers_load_from_the_joint_checkpoint_only_their_own_weights(kind, share, tmp_path, monkeypatch):
    joint = tiny_model("joint", share_vision_tower=share)
    joint.save_pretrained(tmp_path)
    from transformers import core_model_loading

    read = []
    original = core_model_loading._materialize_copy
    monkeypatch.setattr(
        core_model_loading, "_materialize_copy", lambda t, *a, **k: read.append(1) or original(t, *a, **k)
    )
    tower, info = TOWERS[kind][1].from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert len(read) == len(tower.state_dict()) < len(joint.state_dict())
    joint_state = joint.state_dict()
    for name, value in tower.state_dict().items():
        torch.testing.assert_close(value, joint_state[name], msg=name)
    inputs = tiny_inputs(kind)
    expected = joint.get_query_features(**inputs) if kind == "query" else joint.get_item_features(**inputs)
    torch.testing.assert_close(run(tower, inputs).embeds, expected, atol=1e-6, rtol=0)
    tower.save_pretrained(tmp_path / "tower")
    again = TOWERS[kind][1].from_pretrained(tmp_path / "tower")
    assert again.config.model_type == f"tiger_fg_{kind}"
    assert_same(run(again, inputs), run(tower, inputs), atol=1e-6)


def test_a_misspelt_field_is_refused():
    with pytest.raises(TypeError, match="TigerFGConfig has no field num_slotz"):
        TigerFGModel.from_backbones("vision", "text", num_slotz=3)


def test_features_as_of_an_image_text_model():
    """What transformers' dual encoders are asked for: tokens, and global features of either side."""
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


def test_a_towers_folder_is_refused_by_the_other_models(tmp_path):
    tiny_model("query").save_pretrained(tmp_path)
    for wrong in (TigerFGModel, TigerFGItemModel):
        with pytest.raises(ValueError, match="holds a 'tiger_fg_query' checkpoint"):
            wrong.from_pretrained(tmp_path)


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


@pytest.mark.parametrize("share", [True, False])
def test_towers_of_a_model_in_training_share_its_parameters(share):
    joint = tiny_model("joint", share_vision_tower=share).train()
    query, item = joint.towers()
    assert query.training
    shared = set(map(id, joint.parameters()))
    assert set(map(id, query.parameters())) < shared
    assert set(map(id, item.parameters())) < shared
    joint.eval()
    inputs = tiny_inputs()
    expected = run(joint, inputs)
    assert_same(
        {"embeds": run(query, {"pixel_values": inputs.pop("query_pixel_values")}).embeds},
        {"embeds": expected.query_embeds},
    )
    assert_same({"embeds": run(item, inputs).embeds}, {"embeds": expected.item_embeds})


def test_shared_and_separate_vision_towers():
    shared, separate = tiny_model("joint"), tiny_model("joint", share_vision_tower=False)
    assert not hasattr(shared, "query_vision_model")
    extra = sum(p.numel() for p in separate.parameters()) - sum(p.numel() for p in shared.parameters())
    assert extra == sum(p.numel() for p in shared.vision_model.parameters()) + 32 * 16


@FAMILIES
def test_items_without_text_without_image_or_with_blank_text(vision):
    model, inputs = tiny_model("item", vision), tiny_inputs("item")
    image_only = run(model, {"pixel_values": inputs["pixel_values"]})
    text_only = run(model, {key: inputs[key] for key in ("input_ids", "attention_mask")})
    assert text_only.grounding is None
    torch.testing.assert_close(text_only.embeds.norm(dim=-1), torch.ones(3))

    mixed = copy.deepcopy(inputs)
    mixed["attention_mask"][0] = 0
    mixed["image_mask"] = torch.tensor([1, 0, 1])
    output = run(model, mixed)
    full = run(model, inputs)
    torch.testing.assert_close(output.embeds[0], image_only.embeds[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.embeds[1], text_only.embeds[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.embeds[2], full.embeds[2], atol=1e-5, rtol=0)
    assert output.grounding[1].sum() == 0
    assert torch.isfinite(output.embeds).all()

    mixed["pixel_values"] = mixed["pixel_values"].requires_grad_()
    model(**mixed).embeds.sum().backward()
    assert torch.isfinite(mixed["pixel_values"].grad).all()
    assert mixed["pixel_values"].grad[1].abs().max() == 0


def test_text_decides_where_the_item_tower_looks():
    model, inputs = tiny_model("item"), tiny_inputs("item")
    other = inputs | {"input_ids": inputs["input_ids"].flip(0), "attention_mask": inputs["attention_mask"].flip(0)}
    assert (run(model, inputs).grounding - run(model, other).grounding).abs().max() > 1e-4


def test_vision_tokens_can_be_fused_with_several_texts():
    model, inputs = tiny_model("item"), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    text = model.encode_item_text(inputs["input_ids"], inputs["attention_mask"])
    fused = model.fuse_item(tokens, text, inputs["attention_mask"])
    torch.testing.assert_close(fused.embeds, run(model, inputs).embeds)


def test_an_untrained_item_is_embedded_as_its_image():
    """Late fusion's start: before training, the item embedding is that of a plain image encoder, slightly pooled."""
    torch.manual_seed(0)
    joint = TigerFGModel(tiny_config(appearance_gate_init=-20.0)).eval()
    inputs = tiny_inputs()
    inputs["query_pixel_values"] = inputs["pixel_values"]
    output = run(joint, inputs)
    torch.testing.assert_close(output.query_embeds, output.item_embeds)


def test_literal_appearance_feature_is_the_pooled_patches():
    model, inputs = tiny_model("item", appearance_gate_init=None), tiny_inputs("item")
    output = run(model, inputs)
    patches = model.encode_item_image(inputs["pixel_values"]).patches
    pooled = torch.einsum("bn,bnd->bd", output.grounding.flatten(1), patches)
    torch.testing.assert_close(output.appearance, model.grounding_model.guided_pooling.value(pooled))
    # A region is embedded as an item that looks at nothing else, but for the semantic focus.
    region = torch.nn.functional.normalize(model.visual_projection(output.appearance), dim=-1)
    torch.testing.assert_close(model.embed_region(pooled), region)


def test_gate_starts_alike_for_all_items():
    model, inputs = TigerFGItemModel(tiny_config("item", appearance_gate_init=-1.0)).eval(), tiny_inputs("item")
    output = run(model, inputs)
    tokens = model.encode_item_image(inputs["pixel_values"])
    pooled = torch.einsum("bn,bnd->bd", output.grounding.flatten(1), tokens.patches)
    share = torch.tensor(-1.0).sigmoid()
    torch.testing.assert_close(output.appearance, (1 - share) * tokens.cls + share * pooled)


def test_patches_that_match_the_text_weigh_more():
    """At a large scale the pooling looks where the cosine with the text is largest; without a scale it has no say."""
    inputs = tiny_inputs("item")
    model, plain = tiny_model("item"), tiny_model("item", text_match_scale_init=None)
    assert plain.load_state_dict(model.state_dict(), strict=False).missing_keys == []
    tokens = model.encode_item_image(inputs["pixel_values"])
    text = model.encode_item_text(inputs["input_ids"], inputs["attention_mask"])
    pooling = model.grounding_model.guided_pooling
    assert TigerFGItemModel(
        tiny_config("item")
    ).grounding_model.guided_pooling.text_match_scale.item() == pytest.approx(math.log(5.0))
    with torch.no_grad():
        pooling.text_match_scale.fill_(math.log(1e4))
    output = model.fuse_item(tokens, text, inputs["attention_mask"])
    cosines = torch.einsum("bd,bnd->bn", pooling.embed_text(output.text_focus), pooling.embed_patches(tokens.patches))
    assert torch.equal(output.grounding.flatten(1).argmax(1), cosines.argmax(1))
    with torch.no_grad():
        pooling.text_match_scale.fill_(-100.0)
    silent = model.fuse_item(tokens, text, inputs["attention_mask"])
    torch.testing.assert_close(silent.embeds, plain.fuse_item(tokens, text, inputs["attention_mask"]).embeds)
    assert not torch.allclose(silent.grounding, output.grounding, atol=1e-2)


def test_projection_keeps_the_backbones_cosines():
    torch.manual_seed(0)
    model = TigerFGQueryModel(tiny_config("query").__class__(vision_config=VISION["vit"](), projection_dim=64)).eval()
    output = run(model, tiny_inputs("query"))
    cls = torch.nn.functional.normalize(output.last_hidden_state[:, 0], dim=-1)
    torch.testing.assert_close(output.embeds @ output.embeds.T, cls @ cls.T, atol=1e-5, rtol=0)


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


def test_dinov3_base_query_backbone_has_the_papers_parameter_count():
    with torch.device("meta"):
        model = TigerFGModel(TigerFGConfig())
    assert sum(p.numel() for p in model.vision_model.parameters()) == 85_660_416
    assert model.config.projection_dim == 256


CLIP_LIKE = pytest.mark.parametrize("family", ["clip", "siglip", "siglip2"])


@CLIP_LIKE
def test_backbones_taken_out_of_image_text_models(family, tmp_path):
    """`from_backbones` finds the halves of CLIP and SigLIP checkpoints by itself."""
    vision, text = VISION[family](), TEXT["siglip" if family == "siglip2" else family]()
    config_class, model_class = {
        "clip": (CLIPConfig, CLIPModel),
        "siglip": (SiglipConfig, SiglipModel),
        "siglip2": (Siglip2Config, Siglip2Model),
    }[family]
    whole = model_class(config_class(vision_config=vision.to_dict(), text_config=text.to_dict())).eval()
    whole.save_pretrained(tmp_path)
    model = TigerFGModel.from_backbones(str(tmp_path), str(tmp_path), projection_dim=16, num_slots=3)
    assert not model.training
    assert model.config.vision_config._name_or_path == ""
    for half in ("vision_model", "text_model"):
        taken, source = getattr(model, half).state_dict(), getattr(whole, half).state_dict()
        assert taken.keys() == source.keys()
        for name, value in source.items():
            torch.testing.assert_close(taken[name], value)
    assert torch.isfinite(run(model, tiny_inputs()).logits_per_query).all()


@pytest.mark.parametrize("share", [True, False])
def test_from_backbones(share, tmp_path):
    torch.manual_seed(0)
    vision, text = ViTModel(VISION["vit"](), add_pooling_layer=True), BertModel(TEXT["bert"]())
    vision.half().save_pretrained(tmp_path / "vision")
    text.save_pretrained(tmp_path / "text")
    model = TigerFGModel.from_backbones(
        str(tmp_path / "vision"), str(tmp_path / "text"), projection_dim=16, share_vision_tower=share
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any("pooler" in name for name, _ in model.named_parameters())
    inputs = tiny_inputs()
    inputs["query_pixel_values"] = inputs["pixel_values"]
    output = run(model, inputs)
    # Queries and items start in one space, shared tower or not.
    assert ((output.query_embeds * output.item_embeds).sum(-1) > 0.9).all()
    if not share:
        assert model.query_vision_model is not model.vision_model


def test_a_vision_encoder_without_patches_is_refused():
    with pytest.raises(ValueError, match="has no patch_size"):
        tiny_config("query").__class__(vision_config=ResNetConfig())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_slots", 0, "num_slots must be at least 1"),
        ("projection_dim", -3, "projection_dim must be at least 1"),
        ("grounding_attention_heads", 5, "does not divide"),
        ("attention_dropout", 1.5, "attention_dropout must lie"),
        ("text_match_scale_init", 0.0, "text_match_scale_init must be positive"),
        ("temperature_init", 0.001, "lies below the start"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        TigerFGConfig(vision_config=VISION["vit"](), text_config=TEXT["bert"](), **{field: value})


def test_wrong_types_are_refused():
    with pytest.raises(Exception, match="num_slots"):
        TigerFGConfig(vision_config=VISION["vit"](), text_config=TEXT["bert"](), num_slots="eight")


def test_temperature_is_bounded_and_finds_its_way_back():
    model = tiny_model(logit_scale_max=20.0)
    with torch.no_grad():
        model.logit_scale.fill_(7.0)
    scale = model(**tiny_inputs()).logit_scale
    assert scale == 20.0
    scale.backward()
    assert model.logit_scale.grad > 0
