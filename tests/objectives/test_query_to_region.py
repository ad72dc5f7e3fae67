"""`L_q2v`: queries and regions among the rows that have a box."""

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


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7]])
@pytest.mark.parametrize("has_box", ["++++++", "+-++-+", "---+--", "------"])
def test_equals_the_reference(ids, has_box):
    """And moves rows with a box alone."""
    queries, regions = unit_rows(6, 5), unit_rows(6, 5, seed=1)
    has_box = flags(has_box)
    found = query_to_region_loss(queries, regions, has_box, Rows.of_one_process(torch.tensor(ids)), 12.0)

    q, z = queries.tolist(), regions.tolist()
    losses = []
    for i in has_box.nonzero().flatten().tolist():
        others = [j for j in range(6) if has_box[j] and ids[j] != ids[i]]
        losses.append(0.5 * surprise(q[i], z[i], [z[j] for j in others], 12.0))
        losses[-1] += 0.5 * surprise(z[i], q[i], [q[j] for j in others], 12.0)
    assert found.item() == close(mean(losses))
    for gradient in torch.autograd.grad(found, (queries, regions)):
        assert torch.equal(gradient[~has_box], torch.zeros_like(gradient[~has_box]))


@pytest.mark.parametrize(("ids", "has_box"), [([0, 1, 2], "---"), ([5, 5, 5], "+++"), ([3], "+"), ([0, 1, 2], "-+-")])
def test_nothing_to_tell_apart_is_nothing(ids, has_box):
    """No box, one product alone, a single pair, a single box."""
    queries, regions = unit_rows(len(ids), 5), unit_rows(len(ids), 5, seed=1)
    scale = torch.tensor(50.0, requires_grad=True)
    loss = query_to_region_loss(queries, regions, flags(has_box), Rows.of_one_process(torch.tensor(ids)), scale)
    assert_exactly_nothing(loss, (queries, regions, scale))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("has_box", ["++++++++", "+++-+---", "++++----", "--------"])
def test_mean_over_processes_is_the_whole_batch(world_size, has_box):
    ids, has_box = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0]), flags(has_box)
    queries, regions = unit_rows(8, 5), unit_rows(8, 5, seed=1)
    scale = torch.tensor(9.0, requires_grad=True)

    def loss(own: slice) -> torch.Tensor:
        return query_to_region_loss(
            queries[own],
            regions[own],
            has_box[own],
            Rows(ids[own], ids, own.start),
            scale,
            all_query_embeds=queries,
            all_box_embeds=regions,
            all_has_box=has_box,
        )

    assert_mean_over_processes_is_the_whole_batch(loss, 8, world_size, (queries, regions, scale))


def test_is_computed_in_float32():
    rows, has_box = Rows.of_one_process(torch.arange(8)), flags("++-+++-+")
    inputs = unit_rows(8, 5), unit_rows(8, 5, seed=1)
    assert_computed_in_float32(lambda q, z: query_to_region_loss(q, z, has_box, rows, 100.0), *inputs)
