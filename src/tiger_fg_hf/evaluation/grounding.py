"""How well grounding maps find a box: the pointing game, and the share of a map's mass inside the box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from ..models.patch_grid import patches_in_boxes

Box: TypeAlias = Sequence[float]


def pointing_accuracy(groundings: Sequence[torch.Tensor], boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """The pointing game: does each grounding peak inside its box?

    A cell is inside if its centre is, or if it holds the centre of the box, which even the smallest box has. Where
    several cells share the peak, the hit is the share of them that lie inside, so a uniform map scores chance.

    Args:
        groundings: n maps [h, w].
        boxes: n boxes [x0, y0, x1, y1] in fractions of the maps' width and height.

    Returns:
        hits [n] in [0, 1], and what a uniform map scores on each [n].
    """
    hits, chances = [], []
    for grounding, box in zip(groundings, boxes, strict=True):
        height, width = grounding.shape
        inside = patches_in_boxes(torch.tensor([box], dtype=torch.float64), (height, width)).view(height, width)
        hits.append(float(inside[grounding == grounding.max()].double().mean()))
        chances.append(float(inside.double().mean()))
    return np.array(hits), np.array(chances)


def box_mass(groundings: Sequence[torch.Tensor], boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """The share of each grounding's mass that lies inside its box, a cell's mass spread evenly over the cell.

    Args:
        groundings: n maps [h, w], not negative and not all zero.
        boxes: n boxes [x0, y0, x1, y1] in fractions of the maps' width and height.

    Returns:
        shares [n] in [0, 1], and what a uniform map scores on each [n]: the box's share of the area.
    """
    masses, chances = [], []
    for grounding, (x0, y0, x1, y1) in zip(groundings, boxes, strict=True):
        height, width = grounding.shape
        across, down = _covered(width, x0, x1), _covered(height, y0, y1)
        inside = down[:, None] * across[None]
        weights = grounding.double()
        masses.append(float((weights * inside).sum() / weights.sum()))
        chances.append(float(inside.mean()))
    return np.array(masses), np.array(chances)


def _covered(cells: int, low: float, high: float) -> torch.Tensor:
    """Share of each of `cells` equal parts of [0, 1] that lies in [low, high]: `[cells]`."""
    edges = torch.arange(cells + 1, dtype=torch.float64) / cells
    return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0) * cells
