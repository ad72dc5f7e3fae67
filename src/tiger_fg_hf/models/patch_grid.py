"""A patch grid and boxes on it."""

import torch


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
