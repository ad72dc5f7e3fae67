"""`L_v2t`: regions and texts among the rows that have both."""

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
from tiger_fg_hf.objectives.region_to_text import region_to_text_loss


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7]])
@pytest.mark.parametrize("valid", ["++++++", "+-++-+", "--+--+", "---+--"])
def test_equals_the_reference(ids, valid):
    regions, texts = unit_rows(6, 5), unit_rows(6, 5, seed=1)
    valid = flags(valid)
    found = region_to_text_loss(regions, texts, valid, Rows.of_one_process(torch.tensor(ids)), 12.0)

    z, t = regions.tolist(), texts.tolist()
    losses = []
    for i in valid.nonzero().flatten().tolist():
        others = [j for j in range(6) if valid[j] and ids[j] != ids[i]]
        losses.append(0.5 * surprise(z[i], t[i], [t[j] for j in others], 12.0))
        losses[-1] += 0.5 * surprise(t[i], z[i], [z[j] for j in others], 12.0)
    assert found.item() == close(mean(losses))


def test_rows_that_are_not_valid_change_nothing():
    """Not even by what they hold, zeros as of an item without text included; they get no gradient."""
    regions, texts = unit_rows(5, 4), unit_rows(5, 4, seed=1)
    rows, valid = Rows.of_one_process(torch.arange(5)), flags("+-+-+")
    loss = region_to_text_loss(regions, texts, valid, rows, 10.0)
    other = texts.detach().clone()
    other[1], other[3] = 0.0, 50.0
    assert torch.equal(region_to_text_loss(regions, other, valid, rows, 10.0), loss)
    for gradient in torch.autograd.grad(loss, (regions, texts)):
        assert (gradient.norm(dim=-1) > 0).tolist() == valid.tolist()


def test_without_valid_rows_there_is_nothing():
    regions, texts = unit_rows(4, 5), unit_rows(4, 5, seed=1)
    loss = region_to_text_loss(regions, texts, flags("----"), Rows.of_one_process(torch.arange(4)), 10.0)
    assert_exactly_nothing(loss, (regions, texts))


@pytest.mark.parametrize("ids", [[3], [5, 5, 5]])
def test_one_product_alone_loses_nothing(ids):
    regions, texts = unit_rows(len(ids), 5), unit_rows(len(ids), 5, seed=1)
    valid = torch.ones(len(ids), dtype=torch.bool)
    loss = region_to_text_loss(regions, texts, valid, Rows.of_one_process(torch.tensor(ids)), 10.0)
    assert_exactly_nothing(loss, (regions, texts))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("valid", ["++++++++", "+++-+---", "++++----", "-------+", "--------"])
def test_mean_over_processes_is_the_whole_batch(world_size, valid):
    """With as many valid rows on each process, with different numbers, and with none on some."""
    ids, valid = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0]), flags(valid)
    regions, texts = unit_rows(8, 5), unit_rows(8, 5, seed=1)

    def loss(own: slice) -> torch.Tensor:
        return region_to_text_loss(
            regions[own],
            texts[own],
            valid[own],
            Rows(ids[own], ids, own.start),
            9.0,
            all_box_embeds=regions,
            all_text_embeds=texts,
            all_valid=valid,
        )

    assert_mean_over_processes_is_the_whole_batch(loss, 8, world_size, (regions, texts))


def test_is_computed_in_float32():
    rows, valid = Rows.of_one_process(torch.arange(8)), flags("++-+++-+")
    inputs = unit_rows(8, 5), unit_rows(8, 5, seed=1)
    assert_computed_in_float32(lambda z, t: region_to_text_loss(z, t, valid, rows, 100.0), *inputs)
