"""The extent of an object: quantiles of a map, votes of patches, and flat maps."""

from itertools import pairwise

import pytest
import torch
from tiny import run, tiny_config, tiny_inputs, tiny_model

from tiger_fg_hf import TigerFGItemModel
from tiger_fg_hf.models.extent_head_tiger_fg import TigerFGExtentEdges, boxes_from_edges
from tiger_fg_hf.models.extent_tiger_fg import map_spread, quantile_boxes, widen_if_flat
from tiger_fg_hf.models.patch_grid import patch_centres

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
SIZES = {"num_glances": 2, "first_glance_size": 32, "glance_size": 16}


def flat_map(height: int = 4, width: int = 5) -> torch.Tensor:
    return torch.full((1, height, width), 1 / (height * width))


def test_quantiles_equal_those_of_numpy():
    np = pytest.importorskip("numpy")
    maps = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)).flatten(1).softmax(-1).view(3, 5, 7)
    maps[1, :, :3] = 0  # empty columns
    maps = maps / maps.sum((1, 2), keepdim=True)
    found = quantile_boxes(maps)
    for each, box in zip(maps, found, strict=True):
        for place, mass in ((0, each.sum(0)), (1, each.sum(1))):
            below = np.concatenate([[0], mass.cumsum(0).numpy()])
            low, high = np.interp([0.25, 0.75], below, np.linspace(0, 1, len(mass) + 1))
            middle, half = (low + high) / 2, 1.4 * (high - low) / 2
            assert box[place].item() == pytest.approx(middle - half, abs=1e-5)
            assert box[place + 2].item() == pytest.approx(middle + half, abs=1e-5)


def test_spread_is_the_share_of_patches_in_use():
    maps = torch.zeros(3, 4, 5)
    maps[0, 1, 2] = 1
    maps[1, :2] = 0.1
    maps[2] = flat_map()
    torch.testing.assert_close(map_spread(maps), torch.tensor([0.05, 0.5, 1.0]))


def test_a_flat_map_widens_boxes_to_the_whole_picture_continuously():
    box, flat = torch.tensor([[0.25, 0.5, 0.5, 0.75]]), flat_map()
    peaked = torch.zeros_like(flat)
    peaked[0, 1, 1] = 1
    boxes = [widen_if_flat(box, flat.lerp(peaked, share)) for share in torch.linspace(0, 1, 201)]
    torch.testing.assert_close(boxes[0], WHOLE)
    assert torch.equal(boxes[-1], box)
    steps = torch.stack([(a - b).abs().max() for a, b in pairwise(boxes)])
    assert steps.max() < 0.05
    clipped = widen_if_flat(torch.tensor([[-0.5, 0.2, 1.5, 0.4]]), peaked)
    assert torch.equal(clipped, torch.tensor([[0.0, 0.2, 1.0, 0.4]]))


@pytest.mark.parametrize("extent", ["head", "votes", "quantile"])
def test_the_extent_of_a_flat_map_is_the_whole_picture(extent):
    model, inputs = tiny_model("item", extent=extent, **SIZES), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    first = model.fuse_item(tokens, model.encode_item_text(inputs["input_ids"]))
    first.grounding = torch.full_like(first.grounding, 1 / 16)
    torch.testing.assert_close(model.find_extent(tokens, first).extent, WHOLE.expand(3, -1))


def test_patches_start_with_equal_boxes_around_their_centers():
    model = TigerFGItemModel(model_config()).eval()
    boxes = model.extent.patch_extents(torch.randn(2, 16, 32), (4, 4))
    reach = torch.nn.functional.softplus(torch.tensor(-1.0))
    centres = patch_centres((4, 4))
    torch.testing.assert_close(boxes, torch.cat([centres - reach, centres + reach], -1).expand(2, -1, -1))


def model_config():
    return tiny_model("item", extent="votes", **SIZES).config


@pytest.mark.parametrize("sharpness", [1.0, 2.0, 50.0])
def test_the_map_weighs_the_boxes_of_the_patches(sharpness):
    model, inputs = tiny_model("item", extent="votes", extent_sharpness=sharpness, **SIZES), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    first = model.fuse_item(tokens, None)
    first.grounding = (4 * torch.randn(3, 16)).softmax(-1).view(3, 4, 4)
    boxes = model.extent.patch_extents(tokens.patches, tokens.grid)
    weights = first.grounding.flatten(1) ** sharpness
    expected = (weights[..., None] * boxes).sum(1) / weights.sum(1, keepdim=True)
    torch.testing.assert_close(model.find_extent(tokens, first).extent, expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_every_box_contains_its_patch():
    model = tiny_model("item", extent="votes", **SIZES)
    boxes, centres = model.extent.patch_extents(5 * torch.randn(2, 12, 32), (3, 4)), patch_centres((3, 4))
    assert (boxes[..., :2] < centres).all()
    assert (boxes[..., 2:] > centres).all()


def test_the_head_finds_edges_on_any_grid():
    model = tiny_model("item", **SIZES)
    for height, width in ((32, 32), (40, 24), (136, 136)):
        inputs = tiny_inputs("item", height=height, width=width)
        tokens = model.encode_item_image(inputs["pixel_values"])
        first = model.fuse_item(tokens, model.encode_item_text(inputs["input_ids"]))
        found, (h, w) = model.extent(tokens, first), tokens.grid
        assert found.mask_logits.shape == (3, 2 * h, 2 * w)
        assert found.column_logits.shape == (3, 2, 2 * w)
        assert found.row_logits.shape == (3, 2, 2 * h)
        assert (found.extent[:, :2] <= found.extent[:, 2:]).all()


def test_a_fresh_head_finds_the_middle_of_the_picture():
    model, inputs = TigerFGItemModel(tiny_config("item", **SIZES)).eval(), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    found = model.extent(tokens, model.fuse_item(tokens, None))
    middle = torch.tensor([0.25, 0.25, 0.75, 0.75]).expand(3, -1)
    assert (boxes_from_edges(found.column_logits, found.row_logits) - middle).abs().max() < 0.1


def test_the_head_does_not_decide_where_the_text_points():
    model, inputs = tiny_model("item", **SIZES), tiny_inputs("item")
    tokens = model.encode_item_image(inputs["pixel_values"])
    first = model.fuse_item(tokens, model.encode_item_text(inputs["input_ids"]))
    found = model.extent(tokens, first)
    (found.mask_logits.sum() + found.column_logits[:, 0].sum() + found.row_logits[:, 0].square().sum()).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert any(name.startswith("vision_model.") for name in trained)
    assert not any(name.startswith(("grounding_model.", "text_model.")) for name in trained)


def test_columns_do_not_depend_on_the_order_of_rows():
    torch.manual_seed(0)
    edges, grid, mask = TigerFGExtentEdges(model_config()), torch.randn(2, 64, 4, 4), torch.rand(2, 1, 4, 4)
    logits = edges(grid, mask)
    assert logits.shape == (2, 2, 8)
    shifted = edges(grid.flip(2), mask.flip(2))
    torch.testing.assert_close(logits, shifted)


def test_the_quantile_extent_has_no_parameters():
    model = tiny_model("item", extent="quantile", **SIZES)
    assert not any(name.startswith("extent") for name in model.state_dict())
    assert run(model, tiny_inputs("item")).extent.shape == (3, 4)
