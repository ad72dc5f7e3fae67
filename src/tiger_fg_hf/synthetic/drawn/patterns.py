"""Surface patterns as coverage maps over texture coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Coverage = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _edge(value: np.ndarray, softness: float = 12.0) -> np.ndarray:
    """Turn a signed field into coverage in [0, 1], with an edge about `1 / softness` wide."""
    return np.clip(value * softness + 0.5, 0.0, 1.0)


def _cell(value: np.ndarray) -> np.ndarray:
    return value - np.floor(value) - 0.5


def _dots(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = _cell(u + 0.5 * (np.floor(v) % 2)), _cell(v)
    return _edge(0.27 - np.sqrt(x * x + y * y))


def _floral(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = _cell(u * 0.8 + 0.5 * (np.floor(v * 0.8) % 2)), _cell(v * 0.8)
    radius, angle = np.sqrt(x * x + y * y), np.arctan2(y, x)
    petals = 0.29 + 0.11 * np.cos(5.0 * angle)
    return _edge(petals - radius) * _edge(radius - 0.1)


def _speckled(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Cells with offsets from sines look scattered and need no random numbers.
    row, column = np.floor(v * 1.6), np.floor(u * 1.6)
    jitter_x = np.sin(row * 12.9898 + column * 78.233) * 0.3
    jitter_y = np.sin(row * 39.346 + column * 11.135) * 0.3
    x, y = _cell(u * 1.6) - jitter_x, _cell(v * 1.6) - jitter_y
    return _edge(0.19 - np.sqrt(x * x + y * y), 9.0)


#: Pattern name -> coverage of the second color; one period is one unit of (u, v).
PATTERNS: dict[str, Coverage] = {
    "striped": lambda u, v: _edge(np.abs(_cell(v)) - 0.29),
    "pinstriped": lambda u, v: _edge(np.abs(_cell(u * 1.3)) - 0.4),
    "diagonal striped": lambda u, v: _edge(np.abs(_cell((u + v) * 0.75)) - 0.28),
    "polka dot": _dots,
    "checked": lambda u, v: 0.5 * _edge(np.abs(_cell(u)) - 0.26) + 0.5 * _edge(np.abs(_cell(v)) - 0.26),
    "checkerboard": lambda u, v: _edge(np.sin(np.pi * u * 1.3) * np.sin(np.pi * v * 1.3) - 0.02, 5.0),
    "zigzag": lambda u, v: _edge(0.18 - np.abs(_cell(v + 0.5 * np.abs(_cell(u)) * 1.6))),
    "floral": _floral,
    "speckled": _speckled,
    "argyle": lambda u, v: _edge(0.34 - np.abs(_cell(u)) - 0.7 * np.abs(_cell(v * 0.7))),
    "wavy": lambda u, v: _edge(0.16 - np.abs(_cell(v + 0.16 * np.sin(2.0 * np.pi * u)))),
}
