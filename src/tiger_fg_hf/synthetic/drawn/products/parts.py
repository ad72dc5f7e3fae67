"""Parts that several products have."""

from __future__ import annotations

import numpy as np

from ..painter import Painter, Surface
from ..palette import Rgb
from ..spec import Look


def clock_hands(
    p: Painter, k: Look, radius: float, ink: Rgb, *, hour: tuple[float, float], minute: tuple[float, float]
) -> None:
    """Draw the hands of a clock in the middle of the picture, each of a (length as a share of `radius`, width)."""
    for turn, (long, wide) in ((k.params["hour"], hour), (k.params["minute"], minute)):
        angle = turn * 2 * np.pi
        tip = (0.5 + radius * long * np.sin(angle), 0.5 - radius * long * np.cos(angle))
        p.stroke([(0.5, 0.5), tip], wide, Surface(ink, "plastic"))
