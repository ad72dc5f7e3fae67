"""`L_glance`: the loss of the embeddings that the item tower gives after two glances."""

import pytest
import torch
from loss_checks import close
from student_cases import rows_through, task_batch, tiny_student, tiny_teacher, without
from tiny import tiny_model

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

ALONE = TigerFGLossWeights(q2i=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, glance=1.0)
SIZES = {"num_glances": 2, "glance_size": 16, "first_glance_size": 32}


def batch_of(**kwargs) -> dict[str, torch.Tensor]:
    batch = without(task_batch(**kwargs), "teacher_region")
    batch["pixel_values"] = torch.nn.functional.interpolate(batch["pixel_values"], scale_factor=2.0)
    return batch


@pytest.mark.parametrize("pictures", [None, 3])
def test_joined_embeddings_are_those_of_the_item_tower(pictures):
    student = tiny_student(ALONE.student_outputs(), **SIZES)
    batch = without(batch_of(pictures=pictures), "has_box")
    pixels = batch["pixel_values"] if pictures is None else batch["pixel_values"][batch["image_index"]]
    found = student(**batch)
    expected = student.model.towers()[1](pixels, batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(found["joined_embeds"], expected.embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["item_embeds"], expected.first_embeds, atol=1e-5, rtol=0)


def test_wrong_extents_become_the_true_boxes():
    student, batch = tiny_student(ALONE.student_outputs(), **SIZES), batch_of()
    wrong = batch | {"boxes": torch.tensor([[0.0, 0.0, 0.2, 0.2]]).expand(5, 4), "has_box": torch.arange(5) < 3}
    alone, found = student(**without(batch, "has_box"))["joined_embeds"], student(**wrong)["joined_embeds"]
    torch.testing.assert_close(found[3:], alone[3:])
    tower = student.model.towers()[1]
    first = tower(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
    text = tower.encode_item_text(batch["input_ids"], batch["attention_mask"])
    second = tower.second_glance(batch["pixel_values"], wrong["boxes"], text, batch["attention_mask"])
    expected = tower.glance_gate(first.first_embeds, second.embeds, wrong["boxes"])
    torch.testing.assert_close(found[:3], expected[:3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("crops", [None, [True, False, False, False, True]])
def test_each_item_is_encoded_once_more(crops):
    """By its close view if that is another photo, otherwise by the second glance, which `L_close` then takes too."""
    weights = TigerFGLossWeights(q2i=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, glance=1.0, close=1.0)
    student, batch = tiny_student(weights.student_outputs(), **SIZES), batch_of()
    index = torch.tensor([1, -1, 0, -1, 2])
    views = {"close_index": index, "close_pixel_values": torch.randn(3, 3, 16, 16)}
    again = index < 0
    if crops is not None:
        views["close_is_crop"] = torch.tensor(crops)
        again = again | views["close_is_crop"]
    with rows_through(student.model.vision_model) as images:
        found = student(**batch, **views)
    assert images == [5, 5, int((~again).sum()), int(again.sum())]
    only_glances, only_views = student(**batch), student(**batch, **views | {"close_is_crop": index < 0})
    torch.testing.assert_close(found["joined_embeds"][again], only_glances["joined_embeds"][again])
    torch.testing.assert_close(found["joined_embeds"][~again], found["item_embeds"][~again])
    torch.testing.assert_close(found["close_embeds"][~again], only_views["close_embeds"][~again])
    assert not torch.isclose(found["close_embeds"][again], found["item_embeds"][again]).all(-1).any()


def test_the_term_is_that_of_queries_and_items():
    student, batch = tiny_student(ALONE.student_outputs(), **SIZES), batch_of(texts=0)
    task = TigerFGTask(student, ALONE)
    representations = task.represent(batch)
    losses = task.loss(representations, batch)
    assert list(losses) == ["loss", "glance", "logit_scale"]
    swapped = {**representations, "item_embeds": representations["joined_embeds"]}
    q2i = TigerFGTask(student, TigerFGLossWeights(v2t=0, i2v=0, srd=0, sdd=0)).loss(swapped, batch)["q2i"]
    assert losses["glance"].item() == close(q2i.item())


def test_trains_the_gate_but_not_the_extent():
    student = tiny_student(ALONE.student_outputs(), **SIZES)
    TigerFGTask(student, ALONE)(batch_of())["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in student.model.named_parameters()}
    assert gradients["glance_gate.weight"].abs().max() > 0
    assert all(gradient is None for name, gradient in gradients.items() if name.startswith("extent."))


def test_rows_of_a_batch_are_represented_alone_as_together():
    """As GradCache needs it."""
    weights = TigerFGLossWeights(extent=1.0, glance=1.0)
    student = tiny_student(weights.student_outputs(), **SIZES)
    task, batch = TigerFGTask(student, weights, teacher=tiny_teacher()), batch_of(pictures=3)
    whole = task.represent(batch)
    parts = [task.represent(select_rows(batch, rows)) for rows in (slice(0, 2), slice(2, 5))]
    for name in ("joined_embeds", "extent_error"):
        together = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(together, whole[name], atol=1e-5, rtol=0)


def test_models_with_one_glance_are_refused():
    with pytest.raises(ValueError, match="L_glance cannot be computed with TigerFGModel"):
        tiny_student(ALONE.student_outputs(), model=tiny_model())
