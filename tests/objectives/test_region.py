"""Features of regions, on grids small enough to draw."""

import pytest
import torch

from tiger_fg_hf.models.patch_grid import patch_centres, patches_in_boxes
from tiger_fg_hf.objectives.region import mean_of_region, sample_region

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def drawn(box: list[float], grid: tuple[int, int]) -> str:
    """Patches in a box as text, one line per row."""
    inside = patches_in_boxes(torch.tensor([box]), grid)[0].view(grid)
    return "/".join("".join("#" if patch else "." for patch in row) for row in inside.tolist())


@pytest.mark.parametrize(
    ("box", "grid", "expected"),
    [
        ([0.0, 0.0, 1.0, 1.0], (2, 3), "###/###"),
        ([0.0, 0.0, 0.5, 0.5], (4, 4), "##../##../..../...."),
        ([0.5, 0.0, 1.0, 0.25], (4, 4), "..##/..../..../...."),
        ([0.25, 0.5, 0.75, 1.0], (4, 4), "..../..../.##./.##."),
        # Grids that are not square: the right third, the lower half.
        ([2 / 3, 0.0, 1.0, 1.0], (2, 6), "....##/....##"),
        ([0.0, 0.5, 1.0, 1.0], (4, 2), "../../##/##"),
        # A patch is inside if its center is: 0.375 is, 0.125 and 0.625 are not.
        ([0.13, 0.0, 0.62, 1.0], (1, 4), ".#.."),
        ([0.12, 0.0, 0.63, 1.0], (1, 4), "###."),
        # Edges on a center: the left edge belongs to the box, the right one does not.
        ([0.125, 0.0, 0.625, 1.0], (1, 4), "##.."),
        ([0.0, 0.125, 1.0, 0.625], (4, 1), "#/#/./."),
        # A box between the centers takes the patch that contains its own center.
        ([0.3, 0.8, 0.31, 0.81], (4, 4), "..../..../..../.#.."),
        ([0.49, 0.49, 0.5, 0.5], (2, 2), "#./.."),
        # So does a thin box, in which no row of centers lies.
        ([0.0, 0.26, 1.0, 0.27], (2, 4), "..#./...."),
        # Points at the edges, and boxes beyond them, take one patch.
        ([1.0, 1.0, 1.0, 1.0], (2, 2), "../.#"),
        ([0.0, 0.0, 0.0, 0.0], (2, 2), "#./.."),
        ([1.5, -0.5, 2.0, -0.2], (2, 2), ".#/.."),
        ([-1.0, -1.0, 3.0, 3.0], (2, 2), "##/##"),
        ([0.9, 0.1, 0.1, 0.9], (1, 1), "#"),
    ],
)
def test_patches_of_drawn_boxes(box, grid, expected):
    assert drawn(box, grid) == expected


def test_boxes_of_a_batch_are_independent():
    boxes = torch.rand(20, 2, 2, generator=torch.Generator().manual_seed(0)).sort(dim=1).values.flatten(1)
    together = patches_in_boxes(boxes, (3, 5))
    assert torch.equal(together, torch.cat([patches_in_boxes(box[None], (3, 5)) for box in boxes]))
    assert together.any(-1).all()


def test_neighbouring_boxes_share_the_grid():
    """Boxes that tile the photo tile its patches, wherever the cut falls."""
    for cut in torch.linspace(0.15, 0.85, 29).tolist():
        left, right = patches_in_boxes(torch.tensor([[0, 0, cut, 1], [cut, 0, 1, 1]]), (3, 7))
        assert torch.equal(left, ~right)


def test_mean_of_region():
    patches = torch.arange(12.0).view(2, 3, 2)
    inside = torch.tensor([[True, False, True], [False, True, False]])
    assert mean_of_region(patches, inside).tolist() == [[2.0, 3.0], [8.0, 9.0]]
    assert torch.equal(mean_of_region(patches, torch.zeros(2, 3, dtype=torch.bool)), torch.zeros(2, 2))
    assert mean_of_region(patches.bfloat16(), inside).dtype == torch.bfloat16


def test_mean_of_region_has_gradients_inside_only():
    patches = torch.randn(1, 4, 3, requires_grad=True)
    inside = torch.tensor([[True, False, False, True]])
    (gradient,) = torch.autograd.grad(mean_of_region(patches, inside).sum(), patches)
    assert gradient[0, :, 0].tolist() == [0.5, 0.0, 0.0, 0.5]


@pytest.mark.parametrize("grid", [(4, 4), (2, 5)])
def test_a_box_of_the_whole_photo_on_the_same_grid_changes_nothing(grid):
    features = torch.randn(3, *grid, 6)
    torch.testing.assert_close(sample_region(features, WHOLE.expand(3, -1), grid), features.flatten(1, 2))


@pytest.mark.parametrize("box", [[0.0, 0.0, 1.0, 1.0], [0.25, 0.1, 0.75, 0.9], [0.5, 0.5, 1.0, 0.75]])
@pytest.mark.parametrize("grid", [(6, 6), (5, 8)])
@pytest.mark.parametrize("size", [(8, 8), (4, 7)])
def test_patches_sample_their_place_in_the_box(box, grid, size):
    """Features are their own coordinates in the crop, so each patch reads its place in the box, up to the border."""
    centres = patch_centres(size)
    found = sample_region(centres.view(1, *size, 2), torch.tensor([box]), grid)[0]
    x0, y0, x1, y1 = box
    expected = (patch_centres(grid) - torch.tensor([x0, y0])) / torch.tensor([x1 - x0, y1 - y0])
    expected = expected.clamp(centres.min(0).values, centres.max(0).values)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_mirrored_crop_in_a_mirrored_box():
    """It gives the mirror image, patch by patch."""
    features, box, grid = torch.randn(1, 4, 5, 3), torch.tensor([[0.1, 0.2, 0.6, 0.9]]), (6, 7)
    mirrored_box = torch.tensor([[1 - 0.6, 0.2, 1 - 0.1, 0.9]])
    found = sample_region(features.flip(2), mirrored_box, grid).view(1, *grid, 3)
    torch.testing.assert_close(found, sample_region(features, box, grid).view(1, *grid, 3).flip(2), atol=1e-5, rtol=0)


def test_boxes_without_extent_stay_finite():
    found = sample_region(torch.randn(2, 3, 3, 4), torch.tensor([[0.0] * 4, [0.5] * 4]), (4, 4))
    assert torch.isfinite(found).all()
