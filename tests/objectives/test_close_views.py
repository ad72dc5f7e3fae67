"""Close views in the student and in its losses, `L_close` and `L_SDD` without a frozen teacher."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from loss_checks import close
from student_cases import rows_through, task_batch, tiny_baseline, tiny_student, tiny_teacher, without

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.frozen_text import FrozenTextTokens
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudentOutputs
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

NOTHING = TigerFGLossWeights(q2i=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, q2v=0.0)
CLOSE = replace(NOTHING, close=1.0)
SELF = replace(NOTHING, sdd=1.0, sdd_teacher="self")
OUTPUTS = TigerFGStudentOutputs(mismatched=False, region=False, text=False, relations=False, close=True)
INDEX = [1, -1, 0, -1, 2]


def close_batch(index: list[int] = INDEX, **kwargs) -> dict[str, torch.Tensor]:
    """A batch whose pairs have the close views `index`, smaller than the item photos."""
    pixels = torch.randn(max(index) + 1, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    columns = {"close_index": torch.tensor(index), "close_pixel_values": pixels}
    return without(task_batch(**kwargs), "teacher_region") | columns


def task_of(weights: TigerFGLossWeights, **kwargs) -> TigerFGTask:
    return TigerFGTask(tiny_student(weights.student_outputs(), **kwargs), weights)


@pytest.mark.parametrize("pictures", [None, 2])
def test_close_embeddings_are_those_of_the_item_tower(pictures):
    """Of the picture alone with the text of its pair; other pairs keep their item embedding."""
    student, batch = tiny_student(OUTPUTS), close_batch(pictures=pictures)
    found = student(**batch)
    for row, place in enumerate(INDEX):
        expected = found["item_embeds"][row]
        if place >= 0:
            text = {name: batch[name][row, None] for name in ("input_ids", "attention_mask")}
            expected = student.model.get_item_features(batch["close_pixel_values"][place, None], **text)[0]
            assert not torch.allclose(expected, found["item_embeds"][row], atol=1e-2)
        torch.testing.assert_close(found["close_embeds"][row], expected, atol=1e-5, rtol=1e-5)


def test_close_views_change_nothing_else():
    batch = close_batch()
    outputs = TigerFGStudentOutputs(appearance=True, grounding=True)
    found, plain = tiny_student(replace(outputs, close=True))(**batch), tiny_student(outputs)(**batch)
    assert found.keys() - plain.keys() == {"close_embeds"}
    for name, value in plain.items():
        assert torch.equal(found[name], value), name


def test_each_close_view_is_encoded_once_and_no_text_again():
    student, batch = tiny_student(OUTPUTS), close_batch([0, -1, 0, 1, -1], pictures=2)
    with rows_through(student.model.vision_model) as images, rows_through(student.model.text_model) as texts:
        student(**batch)
    assert images == [5, 2, 2]
    assert texts == [5]
    unused = tiny_student(replace(OUTPUTS, close=False))
    with rows_through(unused.model.vision_model) as images:
        assert "close_embeds" not in unused(**batch)
    assert images == [5, 2]


def test_a_batch_without_close_views():
    """With the columns but no view, items stand in; without the columns, there are no close embeddings."""
    student = tiny_student(OUTPUTS)
    found = student(**close_batch([-1] * 5))
    assert torch.equal(found["close_embeds"], found["item_embeds"])
    assert found["close_embeds"] is not found["item_embeds"]
    assert "close_embeds" not in student(**without(close_batch(), "close_index", "close_pixel_values"))


@pytest.mark.parametrize("absent", [["input_ids", "attention_mask"], ["attention_mask"], ["pixel_values"]])
def test_close_views_of_items_without_text_mask_or_photo(absent):
    student, batch = tiny_student(OUTPUTS), without(close_batch(), *absent)
    found = student(**batch)
    text = {name: batch[name][:1] for name in ("input_ids", "attention_mask") if name in batch}
    expected = student.model.get_item_features(batch["close_pixel_values"][1:2], **text)
    torch.testing.assert_close(found["close_embeds"][:1], expected, atol=1e-5, rtol=1e-5)


def test_masked_photos_and_empty_texts():
    """An item whose photo is masked still has its close view, and an empty text leads to no NaN."""
    student, batch = tiny_student(OUTPUTS), close_batch()
    batch["attention_mask"][2] = 0
    whole = student(**batch)
    found = student(**batch, image_mask=torch.tensor([0, 0, 1, 1, 1]))
    shown = batch["close_index"] >= 0
    torch.testing.assert_close(found["close_embeds"][shown], whole["close_embeds"][shown])
    torch.testing.assert_close(found["close_embeds"][~shown], found["item_embeds"][~shown])
    assert torch.isfinite(found["close_embeds"]).all()


@pytest.mark.parametrize("kind", ["image", "late_fusion", "learned_queries"])
@pytest.mark.parametrize("frozen", [False, True])
def test_baselines(kind, frozen):
    model, batch = tiny_baseline(kind), close_batch(pictures=3)
    frozen_text = FrozenTextTokens(model.text_model) if frozen else None
    weights = replace(NOTHING, q2i=1.0, hard=False, close=1.0)
    student = tiny_student(weights.student_outputs(), model=model, frozen_text=frozen_text)
    if frozen:
        model.text_model.eval()
    found = student(**batch)
    text = {name: batch[name] for name in ("input_ids", "attention_mask")}
    views = batch["close_index"] >= 0
    pixels = batch["close_pixel_values"][batch["close_index"].clamp(min=0)]
    expected = student.model.get_item_features(pixels, **text)
    torch.testing.assert_close(found["close_embeds"][views], expected[views], atol=1e-5, rtol=1e-5)
    losses = TigerFGTask(student, weights)(batch)
    assert losses["loss"].item() == close(losses["q2i"].item() + losses["close"].item())


@pytest.mark.parametrize("index", [INDEX, [0, 0, -1, 1, 0], [-1] * 5])
@pytest.mark.parametrize("share", [1, 2, 3])
def test_representations_of_the_parts_are_those_of_the_whole(index, share):
    student, batch = tiny_student(replace(OUTPUTS, grounding=True)), close_batch(index, pictures=2)
    whole = student(**batch)
    parts = [select_rows(batch, slice(start, start + share)) for start in range(0, 5, share)]
    for part in parts:
        used = part["close_index"][part["close_index"] >= 0]
        assert used.unique().tolist() == list(range(len(part["close_pixel_values"])))
    found = [student(**part) for part in parts]
    for name, expected in whole.items():
        value = torch.cat([part[name] for part in found]) if expected.ndim else found[0][name]
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5, msg=name)
    again = select_rows(select_rows(batch, slice(1, 5)), slice(1, 3))
    for row, place in enumerate(again["close_index"].tolist()):
        expected = index[2 + row]
        assert (place < 0) == (expected < 0)
        if place >= 0:
            assert torch.equal(again["close_pixel_values"][place], batch["close_pixel_values"][expected])


def test_close_is_the_contrastive_loss_on_close_views():
    """It is `L_q2i` of the close views as items, without mismatched texts."""
    batch, index = close_batch([3, 1, 2, 0, 4]), [3, 1, 2, 0, 4]
    task = task_of(CLOSE)
    items = batch | {"pixel_values": batch["close_pixel_values"][index]}
    expected = TigerFGTask(task.student, replace(NOTHING, q2i=1.0, hard=False))(items)
    assert task(batch)["close"].item() == close(expected["q2i"].item())
    assert task(batch).keys() == {"loss", "close", "logit_scale"}
    several = task_of(replace(CLOSE, multi_positive=True))(batch)
    assert several["close"].item() != close(expected["q2i"].item())


def test_weights_and_what_they_need():
    assert TigerFGLossWeights().active().keys().isdisjoint({"close", "grounding"})
    assert not TigerFGLossWeights().student_outputs().close
    assert not TigerFGLossWeights(close=0.0, sdd=0.0, sdd_teacher="self").student_outputs().close
    for weights in (TigerFGLossWeights(close=0.5), SELF, replace(SELF, close=0.5)):
        assert weights.student_outputs().close
    assert SELF.active(has_teacher=False) == {"sdd": 1.0}
    assert not SELF.needs_teacher
    both = replace(SELF, srd=1.0)
    assert both.active(has_teacher=False) == {"sdd": 1.0}
    assert both.needs_teacher
    with pytest.raises(ValueError, match="sdd_teacher must be 'frozen' or 'self', got 'big'"):
        TigerFGLossWeights(sdd_teacher="big")


def test_without_close_views_their_losses_are_skipped():
    task, batch = task_of(replace(SELF, close=1.0, q2i=1.0)), close_batch()
    assert task(batch).keys() == {"loss", "q2i", "sdd", "close", "logit_scale"}
    plain = without(batch, "close_index", "close_pixel_values")
    assert task(plain).keys() == {"loss", "q2i", "logit_scale"}
    with pytest.raises(ValueError, match="No loss can be computed"):
        task_of(SELF)(plain)


def test_the_student_needs_no_frozen_teacher_and_ignores_one():
    task, batch = task_of(SELF), close_batch()
    alone = task(batch)["sdd"]
    task.teacher = tiny_teacher()
    assert task(batch)["sdd"].item() == alone.item()
    frozen = TigerFGTask(task.student, replace(SELF, sdd_teacher="frozen"), teacher=task.teacher)(batch)
    assert frozen["sdd"].item() != close(alone.item())


def sdd_by_hand(found: dict[str, torch.Tensor], ids: torch.Tensor, *, confidence: bool) -> torch.Tensor:
    """`L_SDD` of queries and items, taught by close views at the student's own temperature."""
    scale = found["logit_scale"]
    taught = scale * found["query_embeds"] @ found["item_embeds"].T
    teacher = (scale * found["query_embeds"] @ found["close_embeds"].T).detach()
    losses, weights = [], []
    for row in range(len(ids)):
        columns = [column for column in range(len(ids)) if column == row or ids[column] != ids[row]]
        student, target = taught[row, columns].log_softmax(-1), teacher[row, columns].log_softmax(-1)
        losses.append((target.exp() * (target - student)).sum())
        weights.append(target[columns.index(row)].exp() if confidence else torch.tensor(1.0))
    return (torch.stack(losses) * torch.stack(weights)).sum() / torch.stack(weights).sum()


@pytest.mark.parametrize("confidence", [True, False])
def test_close_views_teach_the_similarities_of_queries_and_items(confidence):
    """The gradient reaches queries, items and temperature, but not the teacher, that is, the close views."""
    weights = replace(SELF, sdd_confidence=confidence, sdd_temperature=9.0)
    task, batch = task_of(weights), close_batch()
    found = {name: value.detach().requires_grad_() for name, value in task.represent(batch).items()}
    loss = task.loss(found, batch)["loss"]
    expected = sdd_by_hand(found, batch["item_ids"], confidence=confidence)
    assert loss.item() == close(expected.item())
    names = ("query_embeds", "item_embeds", "logit_scale")
    inputs = [found[name] for name in names]
    gradients, wanted = torch.autograd.grad(loss, inputs, retain_graph=True), torch.autograd.grad(expected, inputs)
    for name, gradient, other in zip(names, gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-5, rtol=1e-4, msg=name)
        assert gradient.abs().max() > 1e-4, name
    assert torch.autograd.grad(loss, found["close_embeds"], allow_unused=True) == (None,)


def test_items_without_close_views_have_nothing_to_learn_from_themselves():
    losses = task_of(SELF)(close_batch([-1] * 5))
    assert losses["sdd"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("weights", [SELF, CLOSE, replace(SELF, close=0.5, grounding=0.5, q2i=1.0)])
@pytest.mark.parametrize("index", [[0, -1, 1, -1], [-1, -1, 0, 1], [-1] * 4])
def test_mean_over_processes_is_the_whole_batch(weights, index):
    """All processes gather the same columns, even if one has no close view."""
    batch = close_batch(index, rows=4)
    task = task_of(weights)
    whole = task(batch)
    parts = [select_rows(batch, slice(2 * rank, 2 * rank + 2)) for rank in range(2)]
    own = [task.represent(part) for part in parts]
    columns: list[torch.Tensor] = []
    # A column may depend on an earlier one: the teacher's confidence depends on the gathered close views.
    for _ in range(3):
        gathered: list[list[torch.Tensor]] = [[], []]

        def gather(rank: int, tensor: torch.Tensor, known=columns, noted=gathered) -> torch.Tensor:
            place = len(noted[rank])
            noted[rank].append(tensor)
            return known[place] if known else torch.cat([tensor, tensor])

        processes = [TigerFGTask(task.student, weights, gather=partial(gather, rank), rank=rank) for rank in range(2)]
        losses = [process.loss(rows, part) for process, rows, part in zip(processes, own, parts, strict=True)]
        assert [tensor.shape for tensor in gathered[0]] == [tensor.shape for tensor in gathered[1]]
        columns = [torch.cat(values) for values in zip(*gathered, strict=True)]
    for name, value in whole.items():
        torch.testing.assert_close((losses[0][name] + losses[1][name]) / 2, value, rtol=1e-5, atol=1e-6, msg=name)


def test_half_precision():
    task, batch = task_of(replace(SELF, close=1.0, grounding=1.0)), close_batch()
    expected = task(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = task(batch)
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32, name
        torch.testing.assert_close(losses[name], value, rtol=0.1, atol=0.05, msg=name)
