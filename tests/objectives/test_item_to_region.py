"""`L_i2v`: regions find their item in the batch, and the right text for their photo."""

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
from tiger_fg_hf.objectives.item_to_region import item_to_region_loss


def inputs(rows: int = 6, texts: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings of items, regions and mismatched items."""
    return unit_rows(rows, 5), unit_rows(rows, 5, seed=1), unit_rows(rows, texts, 5, seed=2)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 1, 7]])
@pytest.mark.parametrize("has_box", ["++++++", "+-++-+", "---+--"])
@pytest.mark.parametrize("has_mismatch", ["++++++", "+-+--+", "------"])
@pytest.mark.parametrize("hard_weight", [1.0, 0.3])
def test_equals_the_reference(ids, has_box, has_mismatch, hard_weight):
    """Items without a box are candidates too; the hard part is a mean over rows with a box and mismatched texts."""
    items, regions, mismatched = inputs()
    has_box, has_mismatch = flags(has_box), flags(has_mismatch)
    found = item_to_region_loss(
        items,
        regions,
        has_box,
        Rows.of_one_process(torch.tensor(ids)),
        12.0,
        mismatched_embeds=mismatched,
        has_mismatch=has_mismatch,
        hard_weight=hard_weight,
    )
    f, z, m = items.tolist(), regions.tolist(), mismatched.tolist()
    anchors = has_box.nonzero().flatten().tolist()
    in_batch = [surprise(z[i], f[i], [f[j] for j in range(6) if ids[j] != ids[i]], 12.0) for i in anchors]
    hard = [surprise(z[i], f[i], m[i], 12.0) for i in anchors if has_mismatch[i]]
    assert found.item() == close(mean(in_batch) + hard_weight * mean(hard))


def test_without_known_categories_there_is_no_hard_part():
    """Value and gradients are exactly those of a batch without mismatched texts."""
    items, regions, mismatched = inputs()
    rows, has_box = Rows.of_one_process(torch.arange(6)), flags("++-+++")
    plain = item_to_region_loss(items, regions, has_box, rows, 12.0)
    expected = torch.autograd.grad(plain, (items, regions))
    unknown = item_to_region_loss(
        items, regions, has_box, rows, 12.0, mismatched_embeds=mismatched, has_mismatch=flags("------")
    )
    assert torch.equal(unknown, plain)
    *found, of_mismatched = torch.autograd.grad(unknown, (items, regions, mismatched))
    assert all(map(torch.equal, found, expected))
    assert torch.equal(of_mismatched, torch.zeros_like(mismatched))
    weightless = item_to_region_loss(
        items, regions, has_box, rows, 12.0, mismatched_embeds=mismatched, hard_weight=0.0
    )
    assert torch.equal(weightless, plain)


def test_is_zero_without_boxes():
    items, regions, mismatched = inputs()
    rows = Rows.of_one_process(torch.arange(6))
    loss = item_to_region_loss(items, regions, flags("------"), rows, 12.0, mismatched_embeds=mismatched)
    assert_exactly_nothing(loss, (items, regions, mismatched))


def test_one_box_is_the_only_anchor():
    """Its candidates are all items, but only its own mismatched items."""
    items, regions, mismatched = inputs()
    rows = Rows.of_one_process(torch.arange(6))
    loss = item_to_region_loss(items, regions, flags("---+--"), rows, 12.0, mismatched_embeds=mismatched)
    of_items, of_regions, of_mismatched = torch.autograd.grad(loss, (items, regions, mismatched))
    assert (of_items.norm(dim=-1) > 0).all()
    assert (of_regions.norm(dim=-1) > 0).tolist() == [False, False, False, True, False, False]
    assert (of_mismatched.norm(dim=-1) > 0).tolist() == [[row == 3] * 2 for row in range(6)]


@pytest.mark.parametrize("ids", [[3], [5, 5, 5]])
def test_one_product_alone_has_mismatched_texts_as_negatives(ids):
    items, regions, mismatched = inputs(len(ids))
    rows, has_box = Rows.of_one_process(torch.tensor(ids)), torch.ones(len(ids), dtype=torch.bool)
    assert_exactly_nothing(item_to_region_loss(items, regions, has_box, rows, 12.0), (items, regions))
    found = item_to_region_loss(items, regions, has_box, rows, 12.0, mismatched_embeds=mismatched)
    f, z, m = items.tolist(), regions.tolist(), mismatched.tolist()
    assert found.item() == close(mean([surprise(z[i], f[i], m[i], 12.0) for i in range(len(ids))]))


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("has_box", ["++++++++", "+++-+---", "++++----", "--------"])
@pytest.mark.parametrize("has_mismatch", ["++++++++", "-+++++-+", "----++++", None])
def test_mean_over_processes_is_the_whole_batch(world_size, has_box, has_mismatch):
    """With different numbers of boxes and known categories on each process, and with none on some."""
    ids, has_box = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0]), flags(has_box)
    has_mismatch = None if has_mismatch is None else flags(has_mismatch)
    items, regions, mismatched = inputs(8)

    def loss(own: slice) -> torch.Tensor:
        return item_to_region_loss(
            items[own],
            regions[own],
            has_box[own],
            Rows(ids[own], ids, own.start),
            9.0,
            all_item_embeds=items,
            all_has_box=has_box,
            mismatched_embeds=mismatched[own],
            has_mismatch=None if has_mismatch is None else has_mismatch[own],
            all_has_mismatch=has_mismatch,
            hard_weight=0.7,
        )

    assert_mean_over_processes_is_the_whole_batch(loss, 8, world_size, (items, regions, mismatched))


def test_is_computed_in_float32():
    rows, has_box = Rows.of_one_process(torch.arange(8)), flags("++-+++-+")
    assert_computed_in_float32(
        lambda f, z, m: item_to_region_loss(f, z, has_box, rows, 100.0, mismatched_embeds=m), *inputs(8)
    )
