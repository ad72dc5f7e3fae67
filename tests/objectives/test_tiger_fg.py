"""The Task: which terms a step has, with what weights and gradients, whatever its batch holds."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from loss_checks import close
from student_cases import rows_through, task_batch, tiny_baseline, tiny_student, tiny_teacher, without

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

TERMS = {"q2i", "v2t", "i2v", "srd", "sdd", "q2v"}
ALL = TigerFGLossWeights(q2v=1.0)
FIGURES = {"loss", "logit_scale"}
Q2I_ALONE = TigerFGLossWeights(v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, q2v=0.0)


def task_of(weights: TigerFGLossWeights | None = None, **kwargs) -> TigerFGTask:
    """With a student that computes what the weights ask for."""
    weights = weights or ALL
    return TigerFGTask(tiny_student(weights.student_terms(), **kwargs), weights, teacher=tiny_teacher())


def batch_of(**kwargs) -> dict[str, torch.Tensor]:
    """As a collator makes it: the teacher's regions are added by the task."""
    return without(task_batch(**kwargs), "teacher_region")


def gradients(task: TigerFGTask, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of all parameters, zeros where there are none."""
    names, parameters = zip(*task.student.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def moved(task: TigerFGTask, batch: dict[str, torch.Tensor]) -> set[str]:
    """Parameters that learn from a batch, by more than rounding."""
    return {name for name, value in gradients(task, task(batch)["loss"]).items() if value.abs().max() > 1e-7}


@pytest.mark.parametrize("negative", ["q2i", "v2t", "i2v", "srd", "sdd", "q2v", "i2v_hard", "sdd_temperature"])
@pytest.mark.parametrize("value", [-0.1, -1, float("nan")])
def test_weights_are_not_negative(negative, value):
    with pytest.raises(ValueError, match=f"{negative} must not be negative"):
        TigerFGLossWeights(**{negative: value})


@pytest.mark.parametrize("name", ["sdd_temperature", "srd_temperature"])
def test_temperatures_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        TigerFGLossWeights(**{name: 0.0})


def test_loss_is_the_weighted_sum_of_its_terms():
    batch = batch_of()
    plain = task_of()(batch)
    assert plain.keys() == TERMS | FIGURES
    assert plain["loss"].item() == close(sum(plain[name].item() for name in TERMS))
    weights = {"q2i": 0.5, "v2t": 2.0, "i2v": 3.0, "srd": 4.0, "sdd": 0.25, "q2v": 1.5}
    weighted = task_of(TigerFGLossWeights(**weights))(batch)
    for name in TERMS:
        assert weighted[name].item() == close(plain[name].item())
        assert plain[name] > 1e-4
        assert not plain[name].requires_grad
    assert weighted["loss"].item() == close(sum(weights[name] * plain[name].item() for name in TERMS))
    assert plain["loss"].requires_grad


@pytest.mark.parametrize(
    ("term", "absent"),
    [
        ("q2i", set()),
        ("v2t", {"region_embeds", "text_embeds"}),
        ("i2v", set()),
        ("q2v", set()),
        ("srd", {"relation_divergence"}),
        ("sdd", set()),
    ],
)
def test_a_weight_of_zero_removes_a_term_and_what_only_it_needs(term, absent):
    batch, whole = batch_of(), task_of()
    task = task_of(replace(ALL, **{term: 0.0}))
    found, expected = task(batch), whole(batch)
    assert expected.keys() - found.keys() == {term}
    for name in TERMS - {term}:
        assert found[name].item() == close(expected[name].item())
    assert whole.represent(batch).keys() - task.represent(batch).keys() == absent


def test_regions_are_embedded_where_a_term_wants_them():
    for weights in (ALL, replace(ALL, i2v=0.0), replace(ALL, q2v=0.0), replace(ALL, i2v=0.0, q2v=0.0)):
        assert ("box_embeds" in task_of(weights).represent(batch_of())) == bool(weights.i2v or weights.q2v)


@pytest.mark.parametrize(
    ("weights", "fused"),
    [
        (TigerFGLossWeights(), True),
        (TigerFGLossWeights(hard=False), True),
        (TigerFGLossWeights(i2v_hard=0.0), True),
        (TigerFGLossWeights(hard=False, i2v_hard=0.0), False),
        (TigerFGLossWeights(hard=False, i2v=0.0), False),
        (TigerFGLossWeights(q2i=0.0), True),
        (TigerFGLossWeights(q2i=0.0, i2v=0.0), False),
        (TigerFGLossWeights(q2i=0.0, i2v_hard=0.0), False),
    ],
)
def test_mismatched_texts_are_read_where_a_term_wants_them(weights, fused):
    task, batch = task_of(weights), batch_of()
    assert ("mismatched_embeds" in task.represent(batch)) == fused
    found, plain = task(batch), task_of(weights)(batch_of(texts=0))
    assert ("q2i" in found) == bool(weights.q2i)
    if weights.q2i:
        assert (found["q2i"] > plain["q2i"]) == weights.hard
    if weights.i2v:
        assert (found["i2v"] > plain["i2v"]) == bool(weights.i2v_hard)


@pytest.mark.parametrize(
    ("absent", "lost"),
    [
        (["boxes", "has_box"], {"v2t", "i2v", "srd", "q2v"}),
        (["input_ids", "attention_mask"], {"v2t"}),
    ],
)
def test_terms_whose_inputs_a_batch_lacks_drop_out(absent, lost):
    """All others are as they were; where the item's text is away, as they are with it unread."""
    task, batch = task_of(), batch_of()
    found, expected = task(without(batch, *absent)), task(batch)
    assert expected.keys() - found.keys() == lost
    if "boxes" in absent:
        for name in TERMS - lost:
            assert found[name].item() == expected[name].item()
    assert found["loss"].item() == close(sum(found[name].item() for name in TERMS - lost))


def test_without_teacher():
    task, batch = task_of(), batch_of()
    expected = task(batch)
    task.teacher = None
    found = task(batch)
    assert expected.keys() - found.keys() == {"srd", "sdd"}
    for name in ("q2i", "v2t", "i2v", "q2v"):
        assert found[name].item() == expected[name].item()


def test_a_step_without_any_loss_is_an_error():
    task = task_of(replace(Q2I_ALONE, q2i=0.0, sdd=1.0))
    task.teacher = None
    with pytest.raises(ValueError, match="No loss is left"):
        task(batch_of())


def test_other_listings_of_a_product_may_be_positives():
    """The first and the last row are one product: that is heard in L_q2i and nowhere else."""
    batch = batch_of()
    plain, several = task_of()(batch), task_of(replace(ALL, multi_positive=True))(batch)
    assert several["q2i"].item() != close(plain["q2i"].item())
    for name in TERMS - {"q2i"}:
        assert several[name].item() == plain[name].item()


def test_columns_are_gathered_once():
    batch = batch_of()
    gathered = []
    task = task_of()
    task.gather = lambda tensor: (gathered.append(tensor), tensor)[1]
    task(batch)
    assert len({id(tensor) for tensor in gathered}) == len(gathered)
    assert sum(tensor is batch["has_box"] for tensor in gathered) == 1


def test_pairs_without_box_lose_nothing_by_it():
    """Where no pair has one, region terms are exactly 0 and move nothing; the others are as they were."""
    task, batch = task_of(), batch_of()
    expected = task(batch)
    empty = batch | {"boxes": torch.zeros(5, 4), "has_box": torch.zeros(5, dtype=torch.bool)}
    found = task(empty)
    assert [found[name].item() for name in ("v2t", "i2v", "srd", "q2v")] == [0.0] * 4
    for name in ("q2i", "sdd"):
        assert found[name].item() == expected[name].item()
    gradient = gradients(task, found["loss"])
    alone = replace(task.weights, v2t=0.0, i2v=0.0, srd=0.0, q2v=0.0)
    only = TigerFGTask(task.student, alone, teacher=task.teacher)
    expected = gradients(task, only(empty)["loss"])
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_rows_without_box_or_text_are_in_no_region_term():
    """What is at the box of a row without one does not matter, nor does the length of its text."""
    task, batch = task_of(), batch_of()
    boxes = batch["boxes"].clone()
    boxes[1] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    found, expected = task(batch | {"boxes": boxes}), task(batch)
    for name in TERMS:
        assert found[name].item() == close(expected[name].item())

    no_text = batch["attention_mask"].clone()
    no_text[2] = 0
    found = task(batch | {"attention_mask": no_text})
    assert found["v2t"] > 0
    assert found["v2t"].item() != close(expected["v2t"].item())
    assert torch.isfinite(found["loss"])
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, found["loss"]).values())
    no_text[:] = 0
    found = task(batch | {"attention_mask": no_text})
    assert found["v2t"].item() == 0.0
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, found["loss"]).values())


def test_categories_decide_on_the_hard_part_of_i2v():
    """Where none is known it is gone, and the mismatched texts stay negatives of queries."""
    batch = batch_of()
    unknown = batch | {"category_ids": torch.full((5,), -1)}
    found, expected = task_of()(unknown), task_of()(batch)
    assert found["i2v"].item() == close(task_of(TigerFGLossWeights(i2v_hard=0.0))(batch)["i2v"].item())
    assert found["i2v"] < expected["i2v"]
    assert found["q2i"].item() == expected["q2i"].item()


def test_i2v_may_look_at_the_visual_part_alone():
    """Then the branch that adds the text's own share gets nothing of it, and all other terms are as they were."""
    batch = batch_of()
    for appearance in (False, True):
        weights = replace(Q2I_ALONE, q2i=0.0, i2v=1.0, i2v_appearance=appearance)
        task = task_of(weights)
        learning = moved(task, batch)
        assert "model.grounding_model.slots" in learning
        assert ("model.merge.hidden.weight" in learning) == (not appearance)
    whole, visual = task_of()(batch), task_of(replace(ALL, i2v_appearance=True))(batch)
    assert visual["i2v"].item() != close(whole["i2v"].item())
    for name in TERMS - {"i2v"}:
        assert visual[name].item() == close(whole[name].item())


def test_v2t_teaches_where_to_look_and_leaves_the_crops_space_alone():
    """It moves what patches are matched with texts by, not the projection in which crops are compared."""
    task = task_of(TigerFGLossWeights(q2i=0.0, i2v=0.0, srd=0.0, sdd=0.0, hard=False))
    learning = moved(task, batch_of())
    matching = {f"model.grounding_model.guided_pooling.text_match_{part}.weight" for part in ("query", "key")}
    assert matching <= learning
    assert "model.visual_projection.weight" not in learning


def test_temperature_learns_from_queries_alone():
    """From those whose anchors they are; regions and texts would have it otherwise."""
    task = task_of()
    for name in TERMS:
        only = TigerFGTask(
            task.student, TigerFGLossWeights(**{**dict.fromkeys(TERMS, 0.0), name: 1.0}), teacher=task.teacher
        )
        learning = moved(only, batch_of())
        assert ("model.logit_scale" in learning) == (name in ("q2i", "sdd", "q2v")), name


def test_the_teacher_sees_the_picture_as_it_is_shown():
    """The regions given to the student are those of its rows, mirrored where its picture is."""
    task, batch = task_of(), batch_of()
    expected = task.student(**batch, teacher_region=task.teacher.regions(batch["rows"], batch["flipped"]))
    found = task.represent(batch)["relation_divergence"]
    assert torch.equal(found, expected["relation_divergence"])
    turned = task.represent(batch | {"flipped": ~batch["flipped"]})["relation_divergence"]
    assert not torch.allclose(found, turned, rtol=1e-2)


def test_pictures_are_encoded_once():
    """In a step with all terms, siblings share theirs."""
    task, batch = task_of(), batch_of(pictures=2)
    with rows_through(task.student.model.vision_model) as images:
        found = task(batch)
    assert images == [5, 2]
    own = without(batch, "image_index") | {"pixel_values": batch["pixel_values"][batch["image_index"]]}
    expected = task(own)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("has_box", [[True] * 4, [True, False, True, True], [False, False, True, False], [False] * 4])
@pytest.mark.parametrize("appearance", [False, True])
def test_mean_over_processes_is_the_whole_batch(has_box, appearance):
    """Two processes that gather, with different numbers of boxes, texts and known categories, of one product twice."""
    batch = select_rows(batch_of(), slice(1, 5)) | {"has_box": torch.tensor(has_box)}
    batch["attention_mask"][2] = 0
    task = task_of(replace(ALL, i2v_appearance=appearance))
    whole = task(batch)
    expected = gradients(task, whole["loss"])

    representations = task.represent(batch)
    gathered: list[list[torch.Tensor]] = [[], []]

    def losses_of(rank: int, gather) -> dict[str, torch.Tensor]:
        own = slice(2 * rank, 2 * rank + 2)
        process = TigerFGTask(task.student, task.weights, teacher=task.teacher, gather=gather, rank=rank)
        own_rows = {name: value[own] if value.ndim else value for name, value in representations.items()}
        return process.loss(own_rows, select_rows(batch, own))

    def note(rank: int, tensor: torch.Tensor) -> torch.Tensor:
        gathered[rank].append(tensor)
        return torch.cat([tensor, tensor])

    for rank in range(2):
        losses_of(rank, partial(note, rank))
    # Processes meet in the order of their calls, which must be one.
    assert [tensor.shape for tensor in gathered[0]] == [tensor.shape for tensor in gathered[1]]
    columns = [torch.cat(parts) for parts in zip(*gathered, strict=True)]
    losses = []
    for rank in range(2):
        order = iter(columns)
        losses.append(losses_of(rank, lambda tensor, order=order: next(order)))
    for name in TERMS | {"loss"}:
        mean = (losses[0][name] + losses[1][name]) / 2
        torch.testing.assert_close(mean, whole[name], rtol=1e-5, atol=1e-6, msg=name)
    found = gradients(task, (losses[0]["loss"] + losses[1]["loss"]) / 2)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", ["image", "late_fusion", "learned_queries"])
def test_baselines_learn_from_queries_and_items(kind):
    """All they have learns; the tower that reads no text has no mismatched texts to learn from."""
    task, batch = task_of(Q2I_ALONE, model=tiny_baseline(kind)), batch_of(pictures=3)
    found = task(batch)
    assert found.keys() == {"q2i"} | FIGURES
    assert found["loss"].item() == found["q2i"].item()
    assert (found["q2i"] > task(batch_of(pictures=3, texts=0))["q2i"]) == (kind != "image")
    still = {name for name, _ in task.student.named_parameters()} - moved(task, batch)
    # A constant added to all scores of a softmax changes nothing.
    still = {name for name in still if not name.endswith(("key.bias", "k_proj.bias", "score.fc2.bias"))}
    assert all("text_model" in name for name in still) if kind == "image" else not still


@pytest.mark.parametrize("absent", [[], ["hard_input_ids", "hard_attention_mask"], ["teacher_region"]])
def test_half_precision(absent):
    """Under autocast all terms are float32 and near to those without."""
    task, batch = task_of(), without(batch_of(), *absent)
    expected = task(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = task(batch)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32, name
        torch.testing.assert_close(found[name], value, rtol=0.1, atol=0.05, msg=name)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, found["loss"]).values())
