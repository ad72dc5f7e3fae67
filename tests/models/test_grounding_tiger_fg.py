"""What the item tower computes: slots, poolings, gate, merge, and where they start."""

import math

import pytest
import torch
from tiny import VISION, assert_same, run, tiny_config, tiny_inputs, tiny_model

from tiger_fg_hf import TigerFGItemModel, TigerFGModel, TigerFGQueryModel


def test_text_decides_where_the_item_tower_looks():
    model, inputs = tiny_model("item"), tiny_inputs("item")
    other = inputs | {"input_ids": inputs["input_ids"].flip(0), "attention_mask": inputs["attention_mask"].flip(0)}
    assert (run(model, inputs).grounding - run(model, other).grounding).abs().max() > 1e-4


def test_an_untrained_item_is_embedded_as_its_image():
    """If the appearance gate starts at the class token."""
    torch.manual_seed(0)
    joint = TigerFGModel(tiny_config(appearance_gate_init=-20.0)).eval()
    inputs = tiny_inputs()
    inputs["query_pixel_values"] = inputs["pixel_values"]
    output = run(joint, inputs)
    torch.testing.assert_close(output.query_embeds, output.item_embeds)


@pytest.mark.parametrize("merge_init_zero", [True, False])
def test_an_untrained_item_without_an_image_is_embedded_by_its_text(merge_init_zero):
    """A zero vector would rank nothing, and its normalization has a gradient of 1e12."""
    torch.manual_seed(0)
    model, inputs = TigerFGItemModel(tiny_config("item", merge_init_zero=merge_init_zero)).eval(), tiny_inputs("item")
    mixed = inputs | {"image_mask": torch.tensor([1, 0, 1])}
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    alone, output, full = model(**texts), model(**mixed), run(model, inputs)
    torch.testing.assert_close(alone.embeds.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(output.embeds[1], alone.embeds[1])
    assert torch.equal(output.embeds[[0, 2]], full.embeds[[0, 2]])
    similarities = alone.embeds @ alone.embeds.T
    assert (similarities[~torch.eye(3, dtype=torch.bool)] < 1 - 1e-4).all()
    alone.embeds[:, 0].sum().backward()
    assert all(parameter.grad.abs().max() < 100 for parameter in model.parameters() if parameter.grad is not None)


def test_without_the_fallback_text_alone_goes_through_the_focus_branch():
    """Checkpoints from before the fallback embed items without an image as they did."""
    new, old = tiny_model("item"), tiny_model("item", appearance_fallback=False)
    assert new.state_dict().keys() == old.state_dict().keys()
    inputs = tiny_inputs("item") | {"image_mask": torch.tensor([1, 0, 1])}
    one, other = run(new, inputs), run(old, inputs)
    branch = old.merge.focus_projection(old.merge.activation(old.merge.hidden(other.focus)))
    torch.testing.assert_close(other.embeds[1], torch.nn.functional.normalize(branch, dim=-1)[1])
    assert torch.equal(one.embeds[[0, 2]], other.embeds[[0, 2]])
    assert not torch.allclose(one.embeds[1], other.embeds[1], atol=1e-2)


def test_the_value_layer_starts_as_the_literal_reading():
    torch.manual_seed(0)
    model = TigerFGItemModel(tiny_config("item")).eval()
    literal = TigerFGItemModel(tiny_config("item", appearance_value_layer=False)).eval()
    name = "grounding_model.guided_pooling.value.weight"
    assert literal.load_state_dict(model.state_dict(), strict=False).unexpected_keys == [name]
    assert_same(run(model, tiny_inputs("item")), run(literal, tiny_inputs("item")), atol=1e-6)
    region = torch.randn(2, 32)
    torch.testing.assert_close(model.embed_region(region), literal.embed_region(region))


def test_literal_appearance_feature_is_the_pooled_patches():
    model, inputs = tiny_model("item", appearance_gate_init=None), tiny_inputs("item")
    output = run(model, inputs)
    patches = model.encode_item_image(inputs["pixel_values"]).patches
    pooled = torch.einsum("bn,bnd->bd", output.grounding.flatten(1), patches)
    torch.testing.assert_close(output.appearance, model.grounding_model.guided_pooling.value(pooled))
    # A region is embedded like an item that looks only there and has no focus branch.
    region = torch.nn.functional.normalize(model.visual_projection(output.appearance), dim=-1)
    torch.testing.assert_close(model.embed_region(pooled), region)


def test_gate_starts_the_same_for_all_items():
    model, inputs = TigerFGItemModel(tiny_config("item", appearance_gate_init=-1.0)).eval(), tiny_inputs("item")
    output = run(model, inputs)
    tokens = model.encode_item_image(inputs["pixel_values"])
    pooled = torch.einsum("bn,bnd->bd", output.grounding.flatten(1), tokens.patches)
    share = torch.tensor(-1.0).sigmoid()
    torch.testing.assert_close(output.appearance, (1 - share) * tokens.cls + share * pooled)


def test_patches_that_match_the_text_weigh_more():
    """A large scale decides where the pooling looks; a vanishing one changes nothing."""
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
