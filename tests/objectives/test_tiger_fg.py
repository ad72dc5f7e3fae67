"""The TIGER-FG task: which losses a step has, with which weights and gradients, for every kind of batch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from loss_checks import close
from student_cases import rows_through, task_batch, tiny_baseline, tiny_student, tiny_teacher, without

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

TERMS = {"q2i", "v2t", "i2v", "q2v", "srd", "sdd"}
ALL = TigerFGLossWeights(q2v=1.0)
FIGURES = {"loss", "logit_scale"}
Q2I_ALONE = TigerFGLossWeights(v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, q2v=0.0)


def task_of(weights: TigerFGLossWeights | None = None, **kwargs) -> TigerFGTask:
    """A task whose student computes what the weights need."""
    weights = weights or ALL
    return TigerFGTask(tiny_student(weights.student_outputs(), **kwargs), weights, teacher=tiny_teacher())


def batch_of(**kwargs) -> dict[str, torch.Tensor]:
    """A batch as a collator makes it; the task adds the teacher's regions."""
    return without(task_batch(**kwargs), "teacher_region")


def gradients(task: TigerFGTask, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of all parameters; zeros for parameters without one."""
    names, parameters = zip(*task.student.named_parameters(), strict=True)
    values = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, values, strict=True))


def trained(task: TigerFGTask, batch: dict[str, torch.Tensor]) -> set[str]:
    """Parameters that get more than a rounding error of gradient from a batch."""
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


def test_active_losses():
    """The task computes exactly those that `active` names, in that order."""
    weights = TigerFGLossWeights(v2t=0.0, sdd=0.25)
    assert weights.active() == {"q2i": 1.0, "i2v": 1.0, "srd": 1.0, "sdd": 0.25}
    assert weights.active(has_teacher=False) == {"q2i": 1.0, "i2v": 1.0}
    task, batch = task_of(weights), batch_of()
    assert list(task(batch)) == ["loss", *weights.active(), "logit_scale"]
    task.teacher = None
    assert list(task(batch)) == ["loss", *weights.active(has_teacher=False), "logit_scale"]


@pytest.mark.parametrize(
    ("weights", "needed"),
    [(ALL, True), (replace(ALL, srd=0.0), True), (replace(ALL, sdd=0.0), True), (Q2I_ALONE, False)],
)
def test_distillation_needs_a_teacher(weights, needed):
    assert weights.needs_teacher == needed


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
def test_a_weight_of_zero_removes_a_term_and_the_outputs_that_only_it_needs(term, absent):
    batch, whole = batch_of(), task_of()
    task = task_of(replace(ALL, **{term: 0.0}))
    losses, expected = task(batch), whole(batch)
    assert expected.keys() - losses.keys() == {term}
    for name in TERMS - {term}:
        assert losses[name].item() == close(expected[name].item())
    assert whole.represent(batch).keys() - task.represent(batch).keys() == absent


def test_regions_are_embedded_if_a_term_needs_them():
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
def test_mismatched_texts_are_encoded_if_a_term_needs_them(weights, fused):
    task, batch = task_of(weights), batch_of()
    assert ("mismatched_embeds" in task.represent(batch)) == fused
    losses, plain = task(batch), task_of(weights)(batch_of(texts=0))
    assert ("q2i" in losses) == bool(weights.q2i)
    if weights.q2i:
        assert (losses["q2i"] > plain["q2i"]) == weights.hard
    if weights.i2v:
        assert (losses["i2v"] > plain["i2v"]) == bool(weights.i2v_hard)


@pytest.mark.parametrize(
    ("absent", "lost"),
    [
        (["boxes", "has_box"], {"v2t", "i2v", "srd", "q2v"}),
        (["input_ids", "attention_mask"], {"v2t"}),
    ],
)
def test_terms_whose_inputs_are_missing_are_skipped(absent, lost):
    """Without boxes, all other terms keep their values."""
    task, batch = task_of(), batch_of()
    losses, expected = task(without(batch, *absent)), task(batch)
    assert expected.keys() - losses.keys() == lost
    if "boxes" in absent:
        for name in TERMS - lost:
            assert losses[name].item() == expected[name].item()
    assert losses["loss"].item() == close(sum(losses[name].item() for name in TERMS - lost))


def test_without_teacher():
    task, batch = task_of(), batch_of()
    expected = task(batch)
    task.teacher = None
    losses = task(batch)
    assert expected.keys() - losses.keys() == {"srd", "sdd"}
    for name in ("q2i", "v2t", "i2v", "q2v"):
        assert losses[name].item() == expected[name].item()


def test_a_step_without_any_loss_is_an_error():
    task = task_of(replace(Q2I_ALONE, q2i=0.0, sdd=1.0))
    task.teacher = None
    with pytest.raises(ValueError, match=r"No loss can be computed: active are {'sdd': 1.0}, without a teacher"):
        task(batch_of())


def test_other_listings_of_a_product_may_be_positives():
    """The first and the last row show one product, which changes L_q2i alone."""
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


def test_region_terms_are_zero_without_boxes():
    """Exactly 0 and without gradient; the other terms keep their values."""
    task, batch = task_of(), batch_of()
    expected = task(batch)
    empty = batch | {"boxes": torch.zeros(5, 4), "has_box": torch.zeros(5, dtype=torch.bool)}
    losses = task(empty)
    assert [losses[name].item() for name in ("v2t", "i2v", "srd", "q2v")] == [0.0] * 4
    for name in ("q2i", "sdd"):
        assert losses[name].item() == expected[name].item()
    gradient = gradients(task, losses["loss"])
    alone = replace(task.weights, v2t=0.0, i2v=0.0, srd=0.0, q2v=0.0)
    only = TigerFGTask(task.student, alone, teacher=task.teacher)
    expected = gradients(task, only(empty)["loss"])
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_region_terms_leave_out_rows_without_box_or_text():
    """The coordinates of a missing box change nothing, and an empty text leads to no NaN."""
    task, batch = task_of(), batch_of()
    boxes = batch["boxes"].clone()
    boxes[1] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    losses, expected = task(batch | {"boxes": boxes}), task(batch)
    for name in TERMS:
        assert losses[name].item() == close(expected[name].item())

    no_text = batch["attention_mask"].clone()
    no_text[2] = 0
    losses = task(batch | {"attention_mask": no_text})
    assert losses["v2t"] > 0
    assert losses["v2t"].item() != close(expected["v2t"].item())
    assert torch.isfinite(losses["loss"])
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, losses["loss"]).values())
    no_text[:] = 0
    losses = task(batch | {"attention_mask": no_text})
    assert losses["v2t"].item() == 0.0
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, losses["loss"]).values())


def test_the_hard_part_of_i2v_needs_known_categories():
    """In L_q2i, mismatched texts remain negatives without them."""
    batch = batch_of()
    unknown = batch | {"category_ids": torch.full((5,), -1)}
    losses, expected = task_of()(unknown), task_of()(batch)
    assert losses["i2v"].item() == close(task_of(TigerFGLossWeights(i2v_hard=0.0))(batch)["i2v"].item())
    assert losses["i2v"] < expected["i2v"]
    assert losses["q2i"].item() == expected["q2i"].item()


def test_i2v_of_the_appearance_alone():
    """It does not train the branch that adds the text's own share, and all other terms keep their values."""
    batch = batch_of()
    for appearance in (False, True):
        weights = replace(Q2I_ALONE, q2i=0.0, i2v=1.0, i2v_appearance=appearance)
        task = task_of(weights)
        names = trained(task, batch)
        assert "model.grounding_model.slots" in names
        assert ("model.merge.hidden.weight" in names) == (not appearance)
    whole, visual = task_of()(batch), task_of(replace(ALL, i2v_appearance=True))(batch)
    assert visual["i2v"].item() != close(whole["i2v"].item())
    for name in TERMS - {"i2v"}:
        assert visual[name].item() == close(whole[name].item())


def test_v2t_trains_the_matching_of_patches_with_texts():
    """It does not train the projection in which crops are compared."""
    task = task_of(TigerFGLossWeights(q2i=0.0, i2v=0.0, srd=0.0, sdd=0.0, hard=False))
    names = trained(task, batch_of())
    matching = {f"model.grounding_model.guided_pooling.text_match_{part}.weight" for part in ("query", "key")}
    assert matching <= names
    assert "model.visual_projection.weight" not in names


@pytest.mark.parametrize("detach_temperature", [True, False])
def test_which_losses_train_the_temperature(detach_temperature):
    """By default, those whose anchors are queries; in a literal reading of the paper, L_v2t and L_i2v too."""
    task = task_of()
    expected = {"q2i", "sdd", "q2v"} if detach_temperature else {"q2i", "sdd", "q2v", "v2t", "i2v"}
    for name in TERMS:
        alone = {**dict.fromkeys(TERMS, 0.0), name: 1.0}
        weights = TigerFGLossWeights(**alone, detach_temperature=detach_temperature)
        only = TigerFGTask(task.student, weights, teacher=task.teacher)
        assert ("model.logit_scale" in trained(only, batch_of())) == (name in expected), name


@pytest.mark.parametrize(("setting", "term"), [("srd_self_relations", "srd"), ("sdd_confidence", "sdd")])
def test_settings_reach_their_loss_and_no_other(setting, term):
    batch, weights = batch_of(), replace(ALL, sdd_temperature=1.0)  # a teacher that is in doubt
    default, other = (task_of(replace(weights, **{setting: value}))(batch) for value in (False, True))
    assert other[term].item() != close(default[term].item())
    for name in TERMS - {term}:
        assert other[name].item() == default[name].item()


def test_the_teachers_regions_are_mirrored_with_the_photo():
    task, batch = task_of(), batch_of()
    expected = task.student(**batch, teacher_region=task.teacher.regions(batch["rows"], batch["flipped"]))
    shown = task.represent(batch)["relation_divergence"]
    assert torch.equal(shown, expected["relation_divergence"])
    turned = task.represent(batch | {"flipped": ~batch["flipped"]})["relation_divergence"]
    assert not torch.allclose(shown, turned, rtol=1e-2)


def test_photos_are_encoded_once():
    """In a step with all terms, for siblings that share a photo."""
    task, batch = task_of(), batch_of(pictures=2)
    with rows_through(task.student.model.vision_model) as images:
        losses = task(batch)
    assert images == [5, 2]
    own = without(batch, "image_index") | {"pixel_values": batch["pixel_values"][batch["image_index"]]}
    expected = task(own)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("has_box", [[True] * 4, [True, False, True, True], [False, False, True, False], [False] * 4])
@pytest.mark.parametrize("appearance", [False, True])
def test_mean_over_processes_is_the_whole_batch(has_box, appearance):
    """With different numbers of boxes, texts and known categories on two processes, and one product on both."""
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
    # Collectives meet in the order of their calls, which must be the same on all processes.
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
def test_baselines_are_trained_by_q2i(kind):
    """All of their parameters are; the image-only tower alone reads no text, mismatched or not."""
    task, batch = task_of(Q2I_ALONE, model=tiny_baseline(kind)), batch_of(pictures=3)
    losses = task(batch)
    assert losses.keys() == {"q2i"} | FIGURES
    assert losses["loss"].item() == losses["q2i"].item()
    assert (losses["q2i"] > task(batch_of(pictures=3, texts=0))["q2i"]) == (kind != "image")
    untrained = {name for name, _ in task.student.named_parameters()} - trained(task, batch)
    # A constant added to all scores of a softmax changes nothing.
    untrained = {name for name in untrained if not name.endswith(("key.bias", "k_proj.bias", "score.fc2.bias"))}
    assert all("text_model" in name for name in untrained) if kind == "image" else not untrained


@pytest.mark.parametrize("absent", [[], ["hard_input_ids", "hard_attention_mask"], ["teacher_region"]])
def test_half_precision(absent):
    """Under autocast, all terms are float32 and close to those without it."""
    task, batch = task_of(), without(batch_of(), *absent)
    expected = task(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = task(batch)
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32, name
        torch.testing.assert_close(losses[name], value, rtol=0.1, atol=0.05, msg=name)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(task, losses["loss"]).values())
