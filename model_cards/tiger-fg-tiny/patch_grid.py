"""The patch grid of a picture, and the patches inside a box."""

import torch


def patch_centres(grid: tuple[int, int], device: torch.device | None = None) -> torch.Tensor:
    """Return the centers of the patches of a grid, row by row.

    Args:
        grid: Rows h and columns w.
        device: Device of the result.

    Returns:
        `[h * w, 2]`, x and y as shares of width and height, in (0, 1).

    Example:
        >>> patch_centres((1, 2)).tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """
    height, width = grid
    y, x = torch.meshgrid(
        (torch.arange(height, device=device) + 0.5) / height,
        (torch.arange(width, device=device) + 0.5) / width,
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def patches_in_boxes(boxes: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Find the patches whose centers lie in each box, and the patch that holds the center of the box.

    Args:
        boxes: `[B, 4]`, x0, y0, x1, y1 as shares of width and height, in [0, 1].
        grid: Rows h and columns w.

    Returns:
        Boolean `[B, h * w]`, row by row; at least one patch for any box.

    Example:
        >>> import torch
        >>> left_half = torch.tensor([[0.0, 0.0, 0.5, 1.0]])
        >>> patches_in_boxes(left_half, (1, 3)).tolist()
        [[True, False, False]]
    """
    height, width = grid
    x, y = patch_centres(grid, boxes.device).unbind(-1)
    x0, y0, x1, y1 = (side[:, None] for side in boxes.unbind(-1))
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    column = ((x0 + x1) / 2 * width).long().clamp(0, width - 1)
    row = ((y0 + y1) / 2 * height).long().clamp(0, height - 1)
    return inside.scatter(1, row * width + column, True)
