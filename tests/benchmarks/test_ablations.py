"""Variants of TIGER-FG with one part of the item tower changed."""

import pytest
import torch
from benchmark_models import same_start
from tiny import tiny_inputs, tiny_model

from benchmarks.immr.ablations import VisionFirstModel, WithoutAppearanceModel


@pytest.mark.parametrize("kind", [WithoutAppearanceModel, VisionFirstModel])
def test_parameters_keep_their_names(kind):
    model = tiny_model()
    assert same_start(model, kind).state_dict().keys() == model.state_dict().keys()


def embed(model, inputs):
    return model.fuse_item(
        model.encode_item_image(inputs["pixel_values"]),
        model.encode_item_text(inputs["input_ids"], inputs["attention_mask"]),
        inputs["attention_mask"],
    )


def test_without_appearance_the_class_token_is_the_visual_part():
    inputs = tiny_inputs("item")
    model = same_start(tiny_model(), WithoutAppearanceModel)
    output = embed(model, inputs)
    torch.testing.assert_close(output.appearance, model.encode_item_image(inputs["pixel_values"]).cls)
    assert output.grounding.unique().tolist() == [1 / 16]
    assert not torch.allclose(output.embeds, embed(tiny_model(), inputs).embeds)


def test_vision_first_reads_the_same_where_there_is_no_text():
    inputs = tiny_inputs("item")
    model = tiny_model()
    changed = same_start(model, VisionFirstModel)
    tokens = model.encode_item_image(inputs["pixel_values"])
    torch.testing.assert_close(changed.fuse_item(tokens).embeds, model.fuse_item(tokens).embeds)
    assert not torch.allclose(embed(changed, inputs).embeds, embed(model, inputs).embeds, atol=1e-4)
    # A row without text is embedded as in a batch without text.
    mask = inputs["attention_mask"].clone()
    mask[1] = 0
    text = model.encode_item_text(inputs["input_ids"], mask)
    torch.testing.assert_close(changed.fuse_item(tokens, text, mask).embeds[1], changed.fuse_item(tokens).embeds[1])
