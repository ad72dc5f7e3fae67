"""`L_v2t` and `L_q2v`, which have one form: two sides, contrasted in both directions among the valid rows."""

import pytest
import torch
from loss_checks import (
    assert_computed_in_float32,
    assert_exactly_nothing,
    assert_mean_over_processes_is_the_whole_batch,
    close,
    flags,
    mean,
    surprise,
    unit_rows,
)

from tiger_fg_hf.objectives.info_nce import Rows
from tiger_fg_hf.objectives.query_to_region import query_to_region_loss
from tiger_fg_hf.objectives.region_to_text import region_to_text_loss

# Each loss with the names of its gathered columns.
LOSSES = {
    region_to_text_loss: ("all_box_embeds", "all_text_embeds", "all_valid"),
    query_to_region_loss: ("all_query_embeds", "all_box_embeds", "all_has_box"),
}
each_loss = pytest.mark.parametrize("loss", list(LOSSES))


def sides(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    return unit_rows(rows, 5), unit_rows(rows, 5, seed=1)


@each_loss
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7]])
@pytest.mark.parametrize("valid", ["++++++", "+-++-+", "--+--+", "---+--", "------"])
def test_equals_the_reference(loss, ids, valid):
    first, second = sides(6)
    valid = flags(valid)
    value = loss(first, second, valid, Rows.of_one_process(torch.tensor(ids)), 12.0)

    a, b = first.tolist(), second.tolist()
    losses = []
    for i in valid.nonzero().flatten().tolist():
        others = [j for j in range(6) if valid[j] and ids[j] != ids[i]]
        losses.append(0.5 * surprise(a[i], b[i], [b[j] for j in others], 12.0))
        losses[-1] += 0.5 * surprise(b[i], a[i], [a[j] for j in others], 12.0)
    assert value.item() == close(mean(losses))


@each_loss
def test_invalid_rows_change_nothing(loss):
    """Neither by their values, such as the zeros of an item without text, nor by a gradient."""
    first, second = sides(5)
    rows, valid = Rows.of_one_process(torch.arange(5)), flags("+-+-+")
    value = loss(first, second, valid, rows, 10.0)
    other = second.detach().clone()
    other[1], other[3] = 0.0, 50.0
    assert torch.equal(loss(first, other, valid, rows, 10.0), value)
    for gradient in torch.autograd.grad(value, (first, second)):
        assert (gradient.norm(dim=-1) > 0).tolist() == valid.tolist()


@each_loss
@pytest.mark.parametrize(("ids", "valid"), [([0, 1, 2], "---"), ([5, 5, 5], "+++"), ([3], "+"), ([0, 1, 2], "-+-")])
def test_is_zero_without_negatives(loss, ids, valid):
    """No valid row, one product only, a single pair, a single valid row."""
    first, second = sides(len(ids))
    scale = torch.tensor(50.0, requires_grad=True)
    value = loss(first, second, flags(valid), Rows.of_one_process(torch.tensor(ids)), scale)
    assert_exactly_nothing(value, (first, second, scale))


@each_loss
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("valid", ["++++++++", "+++-+---", "++++----", "-------+", "--------"])
def test_mean_over_processes_is_the_whole_batch(loss, world_size, valid):
    """With equal and with different numbers of valid rows on each process, and with none on some."""
    ids, valid = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0]), flags(valid)
    first, second = sides(8)
    scale = torch.tensor(9.0, requires_grad=True)
    gathered = dict(zip(LOSSES[loss], (first, second, valid), strict=True))

    def of_process(own: slice) -> torch.Tensor:
        return loss(first[own], second[own], valid[own], Rows(ids[own], ids, own.start), scale, **gathered)

    assert_mean_over_processes_is_the_whole_batch(of_process, 8, world_size, (first, second, scale))


@each_loss
def test_is_computed_in_float32(loss):
    rows, valid = Rows.of_one_process(torch.arange(8)), flags("++-+++-+")
    assert_computed_in_float32(lambda a, b: loss(a, b, valid, rows, 100.0), *sides(8))
