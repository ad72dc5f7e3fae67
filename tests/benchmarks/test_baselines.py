"""Item towers whose text does not guide where they look."""

import pytest
import torch
from benchmark_models import same_start, shake
from tiny import tiny_inputs, tiny_model
from torch.nn import functional as F

from benchmarks.immr.baselines import BaselineModel

KINDS = ("image", "late_fusion", "learned_queries")


def started(kind: str):
    torch.manual_seed(0)
    return same_start(tiny_model(), BaselineModel, baseline=kind)


def other_text(inputs: dict) -> dict:
    return {**inputs, "input_ids": (inputs["input_ids"] + 1) * inputs["attention_mask"]}


@pytest.mark.parametrize("kind", KINDS)
def test_text_moves_the_embedding_but_not_the_gaze(kind):
    model, inputs = started(kind), tiny_inputs("item")
    shake(model)
    first, second = (model._embed_item(**{"image_mask": None, **each}) for each in (inputs, other_text(inputs)))
    assert torch.equal(first.embeds, second.embeds) == (kind == "image")
    assert (first.grounding is None) == (kind != "learned_queries")
    if first.grounding is not None:
        assert torch.equal(first.grounding, second.grounding)
        torch.testing.assert_close(first.grounding.sum((1, 2)), torch.ones(3))


def test_late_fusion_starts_as_the_class_token():
    model, inputs = started("late_fusion"), tiny_inputs("item")
    cls = model.encode_item_image(inputs["pixel_values"]).cls
    expected = F.normalize(model.visual_projection(cls), dim=-1)
    torch.testing.assert_close(model.get_item_features(**inputs), expected)
    # The query tower is TIGER-FG's and starts the same.
    torch.testing.assert_close(model.get_query_features(inputs["pixel_values"]), expected)
    torch.testing.assert_close(tiny_model().get_query_features(inputs["pixel_values"]), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_towers_and_saved_folders_embed_alike(kind, tmp_path):
    model, inputs = started(kind), tiny_inputs("item")
    shake(model)
    query_tower, item_tower = model.towers()
    expected = model.get_item_features(**inputs)
    torch.testing.assert_close(item_tower(**inputs).embeds, expected)
    pixels = inputs["pixel_values"]
    torch.testing.assert_close(query_tower(pixel_values=pixels).embeds, model.get_query_features(pixels))
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(BaselineModel.from_pretrained(tmp_path).get_item_features(**inputs), expected)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="got 'early'"):
        started("early")
