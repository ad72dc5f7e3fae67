"""Features of a target's region: the mean of its patches, and a teacher's features on its patches."""

import torch
from torch.nn import functional as F

from ..models.patch_grid import patch_centres


def mean_of_region(patches: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Average the patch tokens in each target's box (`z_box` before its projection).

    Args:
        patches (`[B, N, d]`): patch tokens.
        inside (`[B, N]`, boolean): patches in the box.

    Returns:
        Tensor `[B, d]`; zeros for a box without patches.

    Example:
        ```python
        >>> mean_of_region(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
        tensor([[2.]])

        ```
    """
    weights = inside.to(patches.dtype)
    return torch.einsum("bn,bnd->bd", weights / weights.sum(-1, keepdim=True).clamp(min=1.0), patches)


def sample_region(features: torch.Tensor, boxes: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Sample the features of a crop at the patches of the photo that contains it.

    Args:
        features (`[B, r, s, D]`): features of the crop on a grid of its own, rows first.
        boxes (`[B, 4]`): place of the crop in the photo, x0, y0, x1, y1 as shares in [0, 1].
        grid: rows and columns of the photo's patch grid.

    Returns:
        Tensor `[B, h * w, D]`, bilinear at each patch center. Patches outside the box repeat the crop's border.

    Example:
        ```python
        >>> crop = torch.tensor([[[[1.0], [2.0]]]])  # one row of two patches
        >>> sample_region(crop, torch.tensor([[0.0, 0.0, 0.5, 1.0]]), (1, 4)).flatten()
        tensor([1., 2., 2., 2.])

        ```
    """
    centres = patch_centres(grid, boxes.device)[None]
    sides = (boxes[:, None, 2:] - boxes[:, None, :2]).clamp(min=1e-6)
    points = 2 * (centres - boxes[:, None, :2]) / sides - 1
    sampled = F.grid_sample(
        features.permute(0, 3, 1, 2), points[:, :, None].to(features.dtype), padding_mode="border", align_corners=False
    )
    return sampled.squeeze(-1).transpose(1, 2)
