"""The target's region on a patch grid: the mean of its patches, and another grid's features there."""

import torch
from torch.nn import functional as F

from ..models.patch_grid import patch_centres


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
