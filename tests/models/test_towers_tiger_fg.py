"""The two towers: loaded from a joint checkpoint, and as views of a joint model."""

import copy

import pytest
import torch
from tiny import TOWERS, VISION, assert_same, run, tiny_inputs, tiny_model

from tiger_fg_hf import TigerFGItemModel, TigerFGModel

FAMILIES = pytest.mark.parametrize("vision", list(VISION))


@pytest.mark.parametrize("kind", ["query", "item"])
@pytest.mark.parametrize("vision", [name for name in VISION if name != "siglip2"])
def test_towers_compile_without_graph_breaks(kind, vision):
    """SigLIP 2's NaFlex encoder is left out: it reads grid sizes from the device, which breaks the graph."""
    torch._dynamo.reset()
    model, inputs = tiny_model(kind, vision), tiny_inputs(kind)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(run(compiled, inputs)["embeds"], run(model, inputs)["embeds"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["query", "item"])
@pytest.mark.parametrize("share", [True, False])
def test_towers_load_only_their_weights_from_a_joint_checkpoint(kind, share, tmp_path, monkeypatch):
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


def test_a_towers_folder_is_refused_by_the_other_models(tmp_path):
    tiny_model("query").save_pretrained(tmp_path)
    for wrong in (TigerFGModel, TigerFGItemModel):
        with pytest.raises(ValueError, match="holds a 'tiger_fg_query' checkpoint"):
            wrong.from_pretrained(tmp_path)


@pytest.mark.parametrize("share", [True, False])
def test_towers_of_a_model_in_training_share_its_parameters(share):
    joint = tiny_model("joint", share_vision_tower=share).train()
    query, item = joint.towers()
    assert query.training
    shared = set(map(id, joint.parameters()))
    assert set(map(id, query.parameters())) < shared
    assert set(map(id, item.parameters())) < shared
    for model in (joint, query, item):
        model.eval()
    inputs = tiny_inputs()
    expected = run(joint, inputs)
    assert_same(
        {"embeds": run(query, {"pixel_values": inputs.pop("query_pixel_values")}).embeds},
        {"embeds": expected.query_embeds},
    )
    assert_same({"embeds": run(item, inputs).embeds}, {"embeds": expected.item_embeds})


@pytest.mark.parametrize("start", ["sdpa", "eager"])
def test_towers_and_joint_model_have_attention_of_their_own(start):
    def implementations(model):
        configs = [getattr(module, "config", None) for module in model.modules()]
        return {config._attn_implementation for config in (model.config, *configs) if config is not None}

    other = {"sdpa": "eager", "eager": "sdpa"}[start]
    joint = tiny_model()
    joint.set_attn_implementation(start)
    query, item = joint.towers()
    assert [implementations(model) for model in (joint, query, item)] == [{start}] * 3
    item.set_attn_implementation(other)
    assert [implementations(model) for model in (joint, query, item)] == [{start}, {start}, {other}]
    query, item = joint.towers()
    joint.set_attn_implementation(other)
    assert [implementations(model) for model in (joint, query, item)] == [{other}, {start}, {start}]
    query.vision_model.config.return_dict = False
    assert joint.config.vision_config.return_dict
    assert item.config.vision_config.return_dict


def test_towers_see_later_updates_of_the_joint_model():
    joint = tiny_model()
    query, item = joint.towers()
    with torch.no_grad():
        for parameter in joint.parameters():
            parameter.add_(0.01)
    inputs = tiny_inputs()
    expected = run(joint, inputs)
    assert torch.equal(run(query, {"pixel_values": inputs.pop("query_pixel_values")}).embeds, expected.query_embeds)
    assert torch.equal(run(item, inputs).embeds, expected.item_embeds)


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


def test_vision_tokens_can_be_fused_with_several_texts():
    model, inputs = tiny_model("item"), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    text = model.encode_item_text(inputs["input_ids"], inputs["attention_mask"])
    fused = model.fuse_item(tokens, text, inputs["attention_mask"])
    torch.testing.assert_close(fused.embeds, run(model, inputs).embeds)
