"""Grounding metrics: the pointing game, the share of a map inside the box, and the IoU of the extent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from ..models.patch_grid import patches_in_boxes

Box: TypeAlias = Sequence[float]


def pointing_accuracy(groundings: Sequence[torch.Tensor], boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Play the pointing game: does each map peak inside its box?

    A cell is inside the box if its center is, or if it contains the center of the box, so that every box has a cell.
    If several cells share the peak, the hit is the share of them inside the box: a uniform map scores chance.

    Args:
        groundings: n maps `[h, w]`.
        boxes: n boxes `[x0, y0, x1, y1]` in fractions of width and height.

    Returns:
        Hits `[n]` in [0, 1], and the scores of uniform maps `[n]`.

    Example:
        >>> import torch
        >>> from tiger_fg_hf.evaluation.grounding import pointing_accuracy
        >>> hits, chance = pointing_accuracy([torch.eye(2)], [(0.0, 0.0, 0.5, 0.5)])
        >>> hits.tolist(), chance.tolist()
        ([0.5], [0.25])
    """
    hits, chances = [], []
    for grounding, box in zip(groundings, boxes, strict=True):
        height, width = grounding.shape
        inside = patches_in_boxes(torch.tensor([box], dtype=torch.float64), (height, width)).view(height, width)
        hits.append(float(inside[grounding == grounding.max()].double().mean()))
        chances.append(float(inside.double().mean()))
    return np.array(hits), np.array(chances)


def box_mass(groundings: Sequence[torch.Tensor], boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Measure the share of each map inside its box; the mass of a cell is spread evenly over the cell.

    Args:
        groundings: n maps `[h, w]`, non-negative and not all zero.
        boxes: n boxes `[x0, y0, x1, y1]` in fractions of width and height.

    Returns:
        Shares `[n]` in [0, 1], and the scores of uniform maps `[n]`: the area of each box.
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


def extent_overlap(extents: np.ndarray, boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the intersection over union of extents and true boxes.

    Args:
        extents: `[n, 4]`, x0, y0, x1, y1 in fractions of width and height, in [0, 1].
        boxes: n boxes `[x0, y0, x1, y1]` in the same form.

    Returns:
        Overlaps `[n]` in [0, 1], and those of the whole picture `[n]`: the area of each box.

    Example:
        >>> import numpy as np
        >>> from tiger_fg_hf.evaluation.grounding import extent_overlap
        >>> overlaps, chance = extent_overlap(np.array([[0.0, 0.0, 0.5, 1.0]]), [(0.0, 0.0, 0.5, 0.5)])
        >>> overlaps.tolist(), chance.tolist()
        ([0.5], [0.25])
    """
    found, true = np.asarray(extents, np.float64), np.asarray(boxes, np.float64)
    sides = np.minimum(found[:, 2:], true[:, 2:]) - np.maximum(found[:, :2], true[:, :2])
    common = sides.clip(min=0).prod(1)
    areas = (true[:, 2:] - true[:, :2]).prod(1)
    union = (found[:, 2:] - found[:, :2]).prod(1) + areas - common
    return common / union.clip(min=1e-12), areas


def _covered(cells: int, low: float, high: float) -> torch.Tensor:
    """Share of each of `cells` equal parts of [0, 1] inside [low, high], `[cells]`."""
    edges = torch.arange(cells + 1, dtype=torch.float64) / cells
    return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0) * cells
