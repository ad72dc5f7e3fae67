"""The TIGER-FG student: one forward pass computes what the losses need, once, and nothing else."""

import math
from dataclasses import replace

import pytest
import torch
from student_cases import rows_through, task_batch, tiny_baseline, tiny_student, without
from tiny import tiny_model

from tiger_fg_hf.models.patch_grid import patches_in_boxes
from tiger_fg_hf.objectives.frozen_text import FrozenTextTokens
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudentOutputs

NO_OUTPUTS = TigerFGStudentOutputs(mismatched=False, region=False, text=False, relations=False)
_ITEM = ("pixel_values", "input_ids", "attention_mask")


def test_embeddings_are_those_of_the_model():
    student, batch = tiny_student(), task_batch()
    found = student(**batch)
    output = student.model(**{name: batch[name] for name in ("query_pixel_values", *_ITEM)})
    torch.testing.assert_close(found["query_embeds"], output.query_embeds)
    torch.testing.assert_close(found["item_embeds"], output.item_embeds)
    torch.testing.assert_close(found["logit_scale"], output.logit_scale)


def test_mismatched_embeddings_are_those_of_the_photo_with_the_text():
    student, batch = tiny_student(), task_batch()
    found = student(**batch)["mismatched_embeds"]
    for k in range(2):
        texts = {"input_ids": batch["hard_input_ids"][:, k], "attention_mask": batch["hard_attention_mask"][:, k]}
        expected = student.model.get_item_features(batch["pixel_values"], **texts)
        torch.testing.assert_close(found[:, k], expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found[:, k], student(**batch)["item_embeds"], atol=1e-3)


def test_regions_are_means_of_their_patches():
    student, batch = tiny_student(), task_batch()
    found = student(**batch)
    model = student.model
    patches = model.encode_item_image(batch["pixel_values"]).patches
    inside = patches_in_boxes(batch["boxes"], (4, 4))
    for row in range(5):
        region = patches[row, inside[row]].mean(0, keepdim=True)
        own = {
            "box_embeds": model.embed_region(region)[0],
            "region_embeds": model.grounding_model.guided_pooling.embed_patches(region)[0],
        }
        for name, expected in own.items():
            torch.testing.assert_close(found[name][row], expected, atol=1e-5, rtol=1e-5, msg=name)


def test_text_embeddings_are_those_that_guide_the_pooling():
    """They do not depend on the photo, and their cosines with the patches are what the pooling adds to its scores."""
    student, batch = tiny_student(), task_batch()
    texts = student(**batch)["text_embeds"]
    other = student(**batch | {"pixel_values": batch["pixel_values"].flip(0)})["text_embeds"]
    assert torch.equal(texts, other)
    model = student.model
    tokens = model.encode_item_image(batch["pixel_values"])
    words = model.encode_item_text(batch["input_ids"], batch["attention_mask"])
    pooling = model.grounding_model.guided_pooling
    cosines = torch.einsum("bd,bnd->bn", texts, pooling.embed_patches(tokens.patches))
    weights = {}
    for scale in (-100.0, 1.0):
        with torch.no_grad():
            pooling.text_match_scale.fill_(scale)
        fused = model.fuse_item(tokens, words, batch["attention_mask"])
        weights[scale] = fused.grounding.flatten(1).log()
    added = weights[1.0] - weights[-100.0] - math.e * cosines
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-4, rtol=0)


def test_appearance_is_the_item_without_its_semantic_branch():
    """With that branch set to zero, fused items equal their appearance, the mismatched ones too."""
    student, batch = tiny_student(TigerFGStudentOutputs(appearance=True)), task_batch()
    found = student(**batch)
    with torch.no_grad():
        student.model.merge.focus_projection.weight.zero_()
        student.model.merge.focus_projection.bias.zero_()
    silent = student(**batch)
    for name in ("", "mismatched_"):
        whole = "mismatched_embeds" if name else "item_embeds"
        torch.testing.assert_close(found[f"{name}appearance_embeds"], silent[whole], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found[f"{name}appearance_embeds"], found[whole], atol=1e-2)


def test_every_representation_has_a_row_per_pair_or_none():
    """Gradient caching relies on it. Embeddings are unit vectors."""
    for pictures in (None, 2):
        found = tiny_student(TigerFGStudentOutputs(appearance=True))(**task_batch(pictures=pictures))
        assert {"mismatched_embeds", "mismatched_appearance_embeds", "text_embeds"} <= found.keys()
        for name, value in found.items():
            assert value.ndim == 0 or len(value) == 5, name
            assert torch.isfinite(value).all(), name
            if name.endswith("embeds"):
                torch.testing.assert_close(value.norm(dim=-1), torch.ones(value.shape[:-1]))


@pytest.mark.parametrize("pictures", [1, 2, 5])
def test_siblings_equal_pairs_with_photos_of_their_own(pictures):
    student, shared = tiny_student(), task_batch(pictures=pictures)
    own = without(shared, "image_index") | {"pixel_values": shared["pixel_values"][shared["image_index"]]}
    found, expected = student(**shared), student(**own)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("pictures", [None, 2])
def test_each_photo_is_encoded_once(pictures):
    """For any number of pairs and texts that use it."""
    student, batch = tiny_student(), task_batch(pictures=pictures)
    with rows_through(student.model.vision_model) as images, rows_through(student.model.text_model) as texts:
        student(**batch)
    assert images == [5, pictures or 5]
    assert texts == [5, 10]


@pytest.mark.parametrize(
    ("absent", "lost"),
    [
        (["hard_input_ids", "hard_attention_mask"], {"mismatched_embeds"}),
        (["boxes"], {"box_embeds", "region_embeds", "text_embeds", "relation_divergence"}),
        (["teacher_region"], {"relation_divergence"}),
        (["input_ids", "attention_mask"], {"region_embeds", "text_embeds"}),
        (
            ["pixel_values"],
            {"mismatched_embeds", "box_embeds", "region_embeds", "text_embeds", "relation_divergence"},
        ),
    ],
)
def test_outputs_whose_inputs_are_missing_are_left_out(absent, lost):
    """All others keep their values, except for the item embeddings without their photo or text."""
    student, batch = tiny_student(), task_batch()
    whole, found = student(**batch), student(**without(batch, *absent))
    assert whole.keys() - found.keys() == lost
    changed = {"item_embeds"} if absent[0] in _ITEM else set()
    for name in found.keys() - changed:
        assert torch.equal(found[name], whole[name]), name


@pytest.mark.parametrize(
    ("output", "lost"),
    [
        ("mismatched", {"mismatched_embeds"}),
        ("region", {"box_embeds"}),
        ("text", {"region_embeds", "text_embeds"}),
        ("relations", {"relation_divergence"}),
    ],
)
def test_outputs_that_no_loss_needs_are_not_computed(output, lost):
    student, batch = tiny_student(TigerFGStudentOutputs(**{output: False})), task_batch()
    whole, found = tiny_student()(**batch), student(**batch)
    assert whole.keys() - found.keys() == lost
    for name, value in found.items():
        assert torch.equal(value, whole[name]), name


def test_no_outputs_cost_nothing():
    student = tiny_student(NO_OUTPUTS)
    with rows_through(student.model.text_model) as texts:
        assert student(**task_batch()).keys() == {"query_embeds", "item_embeds", "logit_scale"}
    assert texts == [5]


def test_texts_without_mask_have_no_padding():
    """The result is that of a mask of ones."""
    student, batch = tiny_student(), task_batch()
    masks = {name: torch.ones_like(batch[name]) for name in ("attention_mask", "hard_attention_mask")}
    found, expected = student(**without(batch, *masks)), student(**batch | masks)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_frozen_text_equals_the_encoder():
    """The representations are the same, and each distinct text is encoded once for all steps."""
    model = tiny_model()
    batch = task_batch()
    expected = tiny_student(model=model)(**batch)
    student = tiny_student(model=model, frozen_text=FrozenTextTokens(model.text_model))
    with pytest.raises(RuntimeError, match="BertModel is in train mode"):
        student(**batch)
    model.text_model.eval()
    with rows_through(model.text_model) as texts:
        for _ in range(2):
            found = student(**batch)
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)
    assert texts == [1] * 15


def test_items_without_a_photo_do_not_depend_on_pixels():
    student, batch = tiny_student(), task_batch()
    image_mask = torch.tensor([1, 0, 1, 1, 0])
    found = student(**batch, image_mask=image_mask)
    noise = batch | {"pixel_values": batch["pixel_values"] + 9 * (1 - image_mask).view(-1, 1, 1, 1)}
    other = student(**noise, image_mask=image_mask)
    for name in ("item_embeds", "mismatched_embeds"):
        torch.testing.assert_close(found[name], other[name], atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("kind", ["image", "late_fusion", "learned_queries"])
@pytest.mark.parametrize("frozen", [False, True])
def test_baselines(kind, frozen):
    """They give embeddings too; the image-only tower has no mismatched ones, as it reads no text."""
    model = tiny_baseline(kind)
    student = tiny_student(
        TigerFGStudentOutputs(region=False, text=False, relations=False),
        model=model,
        frozen_text=FrozenTextTokens(model.text_model) if frozen else None,
    )
    if frozen:
        model.text_model.eval()
    found = student(**task_batch(pictures=3))
    expected = {"query_embeds", "item_embeds", "logit_scale"} | ({"mismatched_embeds"} if kind != "image" else set())
    assert found.keys() == expected
    if kind != "image":
        assert not torch.allclose(found["mismatched_embeds"][:, 0], found["item_embeds"], atol=1e-3)


@pytest.mark.parametrize("kind", ["image", "late_fusion", "learned_queries"])
@pytest.mark.parametrize(
    ("output", "losses", "part"),
    [
        ("region", "L_i2v and L_q2v", "grounding_model"),
        ("text", "L_v2t", "grounding_model.guided_pooling.text_match_key"),
        ("appearance", "L_i2v of the appearance alone", "merge"),
    ],
)
def test_outputs_that_a_baseline_cannot_compute_are_an_error(kind, output, losses, part):
    outputs = replace(NO_OUTPUTS, **{output: True})
    if kind == "learned_queries" and part == "grounding_model":
        found = tiny_student(outputs, model=tiny_baseline(kind))(**task_batch())
        assert ("box_embeds" if output == "region" else "text_embeds") in found
        return
    with pytest.raises(ValueError, match=f"^{losses} cannot be computed with BaselineModel, which has no `{part}`"):
        tiny_student(outputs, model=tiny_baseline(kind))
