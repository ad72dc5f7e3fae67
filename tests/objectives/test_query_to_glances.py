"""`L_glance`: the loss of the embeddings that the item tower gives after two glances."""

import pytest
import torch
from loss_checks import close
from student_cases import task_batch, tiny_student, tiny_teacher, without
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
    student, batch = tiny_student(ALONE.student_outputs(), **SIZES), batch_of(pictures=pictures)
    pixels = batch["pixel_values"] if pictures is None else batch["pixel_values"][batch["image_index"]]
    found = student(**batch)
    expected = student.model.towers()[1](pixels, batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(found["joined_embeds"], expected.embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["item_embeds"], expected.first_embeds, atol=1e-5, rtol=0)


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
