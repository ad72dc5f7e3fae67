"""Named colors, and the distance that decides which name a color has."""

from __future__ import annotations

from functools import cache

import numpy as np

Rgb = tuple[int, int, int]

#: Color names of the catalog with their sRGB centers, far enough apart to be distinguished when shaded.
COLORS: dict[str, Rgb] = {
    "black": (42, 42, 46),
    "grey": (132, 134, 140),
    "silver": (192, 197, 203),
    "white": (243, 242, 238),
    "cream": (238, 220, 184),
    "tan": (201, 158, 107),
    "brown": (122, 78, 48),
    "burgundy": (118, 30, 50),
    "red": (208, 45, 48),
    "coral": (245, 122, 100),
    "pink": (243, 160, 186),
    "magenta": (200, 50, 130),
    "orange": (240, 138, 36),
    "yellow": (246, 206, 62),
    "olive": (122, 122, 48),
    "green": (58, 148, 76),
    "mint": (160, 220, 190),
    "teal": (24, 134, 138),
    "sky blue": (122, 188, 232),
    "blue": (42, 96, 200),
    "navy": (30, 46, 96),
    "purple": (112, 66, 158),
    "lavender": (184, 164, 222),
}


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 255], shape (..., 3), to CIE Lab (D65)."""
    value = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.stack(
        [116.0 * f[..., 1] - 16.0, 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])], axis=-1
    )


@cache
def _lab_centres() -> np.ndarray:
    return rgb_to_lab(np.array(list(COLORS.values())))


def nearest_color(rgb) -> str:
    """Return the name whose center is nearest to `rgb` (three values in [0, 255]) in CIE Lab."""
    distances = np.linalg.norm(_lab_centres() - rgb_to_lab(np.asarray(rgb)), axis=-1)
    return list(COLORS)[int(distances.argmin())]


def vary_color(name: str, rng: np.random.Generator) -> Rgb:
    """Return a shade of `name` that is up to 9 levels off its center in each channel."""
    shade = np.array(COLORS[name]) + rng.uniform(-9.0, 9.0, 3)
    red, green, blue = (int(v) for v in np.clip(np.rint(shade), 0, 250))
    return red, green, blue


@cache
def contrasting_colors(name: str, distance: float = 48.0) -> tuple[str, ...]:
    """Return the color names at least `distance` (CIE Lab units) from `name`."""
    centre = rgb_to_lab(np.array(COLORS[name]))
    far = np.linalg.norm(_lab_centres() - centre, axis=-1) >= distance
    return tuple(other for other, keep in zip(COLORS, far, strict=True) if keep)


def seam_color(color: Rgb, factor: float = 0.62) -> Rgb:
    """Return the color of a seam on `color`: darker by `factor`, or lighter if it is nearly black."""
    red, green, blue = (int(v * factor) if sum(color) >= 180 else min(255, v + 52) for v in color)
    return red, green, blue
