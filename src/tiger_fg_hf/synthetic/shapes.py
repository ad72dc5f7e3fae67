"""Outlines that products and overlays share, as polygons of shape `(k, 2)` with y pointing down."""

from __future__ import annotations

import numpy as np


def circle(cx: float, cy: float, rx: float, ry: float | None = None, count: int = 28) -> np.ndarray:
    """Return an ellipse as a polygon of `count` points; without `ry`, a circle."""
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack([cx + rx * np.cos(angle), cy + (rx if ry is None else ry) * np.sin(angle)], axis=1)


def star(center: tuple[float, float], radius: float, inner: float, tips: int, turn: float = -np.pi / 2) -> np.ndarray:
    """Return a star as a polygon of `2 * tips` points.

    Args:
        center: Its center `(x, y)`.
        radius: Distance of the tips from the center.
        inner: Distance of the dents from the center, as a share of `radius`.
        tips: How many tips it has.
        turn: Direction of the first tip in radians; upwards by default.
    """
    angle = turn + np.arange(2 * tips) * np.pi / tips
    reach = radius * np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner)
    return np.stack([center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle)], axis=1)
