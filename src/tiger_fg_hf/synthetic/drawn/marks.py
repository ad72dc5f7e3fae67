"""Printed marks: small flat shapes as polygons in the square [-1, 1] x [-1, 1], y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..shapes import circle, star

Polygon = np.ndarray


def _heart() -> Polygon:
    t = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    x = 16.0 * np.sin(t) ** 3
    y = 13.0 * np.cos(t) - 5.0 * np.cos(2 * t) - 2.0 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 16.5, -(y + 2.0) / 16.0], axis=1)


def _moon() -> Polygon:
    outer = np.linspace(0.6, 2.0 * np.pi - 0.6, 30)
    inner = outer[::-1]
    arc = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    bite = np.stack([0.38 + 0.72 * np.cos(inner), 0.78 * np.sin(inner)], axis=1)
    return np.concatenate([arc, bite])


def _points(*pairs: tuple[float, float]) -> Polygon:
    return np.array(pairs, dtype=np.float64)


def _leaf() -> Polygon:
    t = np.linspace(0.0, 1.0, 16)
    half = 0.55 * np.sin(np.pi * t) ** 0.8
    y = 1.0 - 2.0 * t
    side = np.stack([half, y], axis=1)
    return np.concatenate([side, np.stack([-half, y], axis=1)[::-1]])


def _wave() -> list[Polygon]:
    x = np.linspace(-1.0, 1.0, 24)
    waves = []
    for offset in (-0.55, 0.0, 0.55):
        y = offset + 0.18 * np.sin(x * 2.0 * np.pi)
        waves.append(np.concatenate([np.stack([x, y - 0.14], 1), np.stack([x, y + 0.14], 1)[::-1]]))
    return waves


def _flower() -> list[Polygon]:
    turns = np.arange(5) * 2.0 * np.pi / 5.0 - np.pi / 2
    return [circle(0.56 * np.cos(a), 0.56 * np.sin(a), 0.4, count=16) for a in turns]


def _paw() -> list[Polygon]:
    toes = [(-0.72, -0.1), (-0.28, -0.62), (0.28, -0.62), (0.72, -0.1)]
    return [circle(0.0, 0.45, 0.55, 0.45), *(circle(x, y, 0.22, 0.29, 14) for x, y in toes)]


def _ring() -> list[Polygon]:
    angle = np.linspace(0.0, 2.0 * np.pi, 41)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [np.concatenate([outer, 0.6 * outer[::-1]])]


def _cat() -> list[Polygon]:
    return [
        circle(0.0, 0.2, 0.85, 0.7),
        _points((-0.85, 0.2), (-0.8, -0.95), (-0.1, -0.35)),
        _points((0.85, 0.2), (0.8, -0.95), (0.1, -0.35)),
    ]


def _anchor() -> list[Polygon]:
    t = np.linspace(0.25, np.pi - 0.25, 18)
    arc = np.stack([np.cos(t), np.sin(t)], axis=1)
    return [
        np.concatenate([arc * [0.9, 0.9], (arc * [0.62, 0.6])[::-1]]),
        _points((-0.14, -0.6), (0.14, -0.6), (0.14, 0.9), (-0.14, 0.9)),
        _points((-0.5, -0.4), (0.5, -0.4), (0.5, -0.16), (-0.5, -0.16)),
        circle(0.0, -0.74, 0.25, count=16),
    ]


#: Mark name -> function that returns its polygons.
MARKS: dict[str, Callable[[], list[Polygon]]] = {
    "star": lambda: [star((0.0, 0.0), 1.0, 0.42, 5)],
    "heart": lambda: [_heart()],
    "moon": lambda: [_moon()],
    "sun": lambda: [star((0.0, 0.0), 1.0, 0.68, 12)],
    "leaf": lambda: [_leaf()],
    "lightning bolt": lambda: [
        _points((0.2, -1.0), (-0.6, 0.15), (-0.08, 0.15), (-0.25, 1.0), (0.6, -0.25), (0.08, -0.25), (0.55, -1.0))
    ],
    "mountain": lambda: [
        _points((-1.0, 0.75), (-0.35, -0.7), (0.0, -0.05), (0.3, -0.45), (1.0, 0.75)),
    ],
    "wave": _wave,
    "flower": _flower,
    "paw": _paw,
    "ring": _ring,
    "cat": _cat,
    "anchor": _anchor,
    "crown": lambda: [
        _points((-0.95, 0.7), (-0.95, -0.6), (-0.45, 0.0), (0.0, -0.85), (0.45, 0.0), (0.95, -0.6), (0.95, 0.7))
    ],
    "diamond": lambda: [_points((0.0, -1.0), (0.7, 0.0), (0.0, 1.0), (-0.7, 0.0))],
    "triangle": lambda: [_points((0.0, -0.85), (0.95, 0.75), (-0.95, 0.75))],
    "cross": lambda: [
        _points((-0.3, -0.95), (0.3, -0.95), (0.3, 0.95), (-0.3, 0.95)),
        _points((-0.95, -0.3), (0.95, -0.3), (0.95, 0.3), (-0.95, 0.3)),
    ],
    "arrow": lambda: [
        _points((0.0, -1.0), (0.85, -0.05), (0.3, -0.05), (0.3, 0.95), (-0.3, 0.95), (-0.3, -0.05), (-0.85, -0.05))
    ],
    "fish": lambda: [circle(-0.2, 0.0, 0.75, 0.45), _points((0.35, 0.0), (1.0, -0.5), (1.0, 0.5))],
    "house": lambda: [
        _points((0.0, -0.95), (1.0, -0.05), (0.7, -0.05), (0.7, 0.85), (-0.7, 0.85), (-0.7, -0.05), (-1.0, -0.05))
    ],
}
