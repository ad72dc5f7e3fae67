"""The target's region on a patch grid: which patches lie in a box, their mean, and another grid's features there."""

import torch
from torch.nn import functional as F


def patch_centres(grid: tuple[int, int], device: torch.device | None = None) -> torch.Tensor:
    """Centres `(x, y)` of the patches of a grid `(h, w)`, row by row, as shares of width and height: `[h * w, 2]`."""
    height, width = grid
    y, x = torch.meshgrid(
        (torch.arange(height, device=device) + 0.5) / height,
        (torch.arange(width, device=device) + 0.5) / width,
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def patches_in_boxes(boxes: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """
    Which patches of a grid `(h, w)` lie in each box: those whose centre does, and the one that holds the box's centre.

    Args:
        boxes (`[B, 4]`): x0, y0, x1, y1 as shares of width and height in [0, 1].

    Returns:
        `[B, h * w]`, boolean; at least one patch for any box.
    """
    height, width = grid
    x, y = patch_centres(grid, boxes.device).unbind(-1)
    x0, y0, x1, y1 = (side[:, None] for side in boxes.unbind(-1))
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    column = ((x0 + x1) / 2 * width).long().clamp(0, width - 1)
    row = ((y0 + y1) / 2 * height).long().clamp(0, height - 1)
    return inside.scatter(1, row * width + column, True)


def mean_of_region(patches: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Mean `[B, d]` of the patch tokens `[B, N, d]` that lie `inside` `[B, N]` (`z_box` before its projection)."""
    weights = inside.to(patches.dtype)
    return torch.einsum("bn,bnd->bd", weights / weights.sum(-1, keepdim=True).clamp(min=1.0), patches)


def sample_region(features: torch.Tensor, boxes: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """
    Features of a crop at the patches of a grid in which the crop's object occupies a box.

    Args:
        features (`[B, r, s, D]`): features of the crop on a grid of its own, rows first.
        boxes (`[B, 4]`): where the crop lies on the other grid, x0, y0, x1, y1 as shares in [0, 1].
        grid: rows and columns of the other grid.

    Returns:
        `[B, h * w, D]`: bilinear at each patch centre; patches outside the box repeat the crop's border.
    """
    centres = patch_centres(grid, boxes.device)[None]
    sides = (boxes[:, None, 2:] - boxes[:, None, :2]).clamp(min=1e-6)
    points = 2 * (centres - boxes[:, None, :2]) / sides - 1
    sampled = F.grid_sample(
        features.permute(0, 3, 1, 2), points[:, :, None].to(features.dtype), padding_mode="border", align_corners=False
    )
    return sampled.squeeze(-1).transpose(1, 2)
