"""Outlines in product units: x to the right, y down, the product inside [0, 1] x [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..shapes import circle

__all__ = ["arc", "both_sides", "box", "circle", "mirrored", "smooth"]

Points = Sequence[Sequence[float] | np.ndarray] | np.ndarray


def smooth(points: Points, *, closed: bool = True, steps: int = 8) -> np.ndarray:
    """Return a Catmull-Rom curve through `points`, shape (k, 2), as a denser polyline."""
    p = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    p0, p1, p2, p3 = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (
        2.0 * p1
        + (p2 - p0) * t
        + (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3) * t**2
        + (3.0 * p1 - p0 - 3.0 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> np.ndarray:
    """Return a rectangle with rounded corners of `radius`."""
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    if r <= 0.0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)
    corners = [(x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180)]
    return np.concatenate([arc(cx, cy, r, r, start, start + 90, 7) for cx, cy, start in corners])


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, count: int = 24) -> np.ndarray:
    """Return points of an ellipse between two angles in degrees (0 right, 90 down)."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def mirrored(right: Points, cx: float = 0.5) -> np.ndarray:
    """Complete the right half of a symmetric outline, from top to bottom, by its mirror image about `x = cx`."""
    half = np.asarray(right, dtype=np.float64)
    left = half[::-1].copy()
    left[:, 0] = 2.0 * cx - left[:, 0]
    return np.concatenate([half, left])


def both_sides(right: Points, cx: float = 0.5) -> list[tuple[int, np.ndarray]]:
    """Return an outline with sign 1, and its mirror image about `x = cx` with sign -1."""
    sides = []
    for sign in (1, -1):
        side = np.array(right, dtype=np.float64)
        side[:, 0] = cx + sign * (side[:, 0] - cx)
        sides.append((sign, side))
    return sides
