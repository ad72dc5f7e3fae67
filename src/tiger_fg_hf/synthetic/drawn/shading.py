"""Light on a surface: materials, a directional light, and the resulting color."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Finish:
    """How a material reflects light.

    Attributes:
        contrast: How much the surface darkens away from the light.
        gloss: Strength of the highlight in [0, 1].
        sharpness: Exponent of the highlight; higher makes it smaller.
        bands: Strength of the bright and dark bands that a polished metal mirrors.
        texture: Name of the fine texture (see `fine_texture`), or "" for none.
        opacity: Opacity in (0, 1]; below 1 for glass.
    """

    contrast: float = 0.8
    gloss: float = 0.0
    sharpness: float = 18.0
    bands: float = 0.0
    texture: str = ""
    opacity: float = 1.0


#: Finish of each material word used in attributes.
FINISHES: dict[str, Finish] = {
    "ceramic": Finish(0.75, 0.55, 28.0),
    "porcelain": Finish(0.7, 0.8, 40.0),
    "stoneware": Finish(0.85, 0.12, 8.0, texture="grain"),
    "terracotta": Finish(0.9, 0.0, texture="grain"),
    "enamel": Finish(0.75, 0.7, 45.0),
    "glass": Finish(0.6, 0.95, 40.0, 0.1, opacity=0.88),
    "steel": Finish(0.8, 0.6, 22.0, 0.2),
    "aluminium": Finish(0.8, 0.4, 12.0, 0.12),
    "plastic": Finish(0.75, 0.4, 18.0),
    "rubber": Finish(0.7, 0.12, 6.0),
    "silicone": Finish(0.75, 0.16, 7.0),
    "lacquer": Finish(0.7, 0.75, 30.0),
    "wood": Finish(0.75, 0.16, 10.0, texture="wood"),
    "cotton": Finish(0.8, 0.0, texture="weave"),
    "linen": Finish(0.8, 0.0, texture="slub"),
    "canvas": Finish(0.75, 0.0, texture="weave"),
    "denim": Finish(0.85, 0.0, texture="twill"),
    "wool": Finish(0.85, 0.0, texture="knit"),
    "felt": Finish(0.85, 0.0, texture="grain"),
    "velvet": Finish(1.05, 0.16, 3.0),
    "satin": Finish(1.0, 0.4, 8.0),
    "nylon": Finish(0.85, 0.22, 10.0, texture="weave"),
    "leather": Finish(0.85, 0.34, 14.0, texture="grain"),
    "suede": Finish(0.85, 0.03, 4.0, texture="grain"),
    "paper": Finish(0.6, 0.08, 8.0),
    "wax": Finish(0.6, 0.2, 6.0),
    "foam": Finish(0.8, 0.0, texture="grain"),
}


def fine_texture(name: str, u: np.ndarray, v: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the brightness ripple of a texture, about [-0.1, 0.1].

    Args:
        name: One of "grain", "weave", "slub", "twill", "knit" and "wood".
        u: Horizontal texture coordinate in product units, shape (h, w).
        v: Vertical texture coordinate in product units, shape (h, w).
        noise: Noise of unit variance, shape (h, w).
    """
    if name == "grain":
        return 0.035 * noise
    if name == "weave":
        return 0.03 * np.sin(u * 260.0) * np.sin(v * 260.0) + 0.012 * noise
    if name == "slub":
        return 0.04 * np.sin(v * 300.0 + noise) + 0.02 * noise
    if name == "twill":
        return 0.06 * np.sin((u + v) * 190.0) + 0.03 * noise
    if name == "knit":
        return 0.09 * np.sin(v * 120.0 + 2.2 * np.abs(np.sin(u * 95.0)))
    rings = np.sin(u * 70.0 + 2.5 * np.sin(v * 5.0) + 0.5 * np.sin(v * 17.0))
    return 0.07 * rings + 0.05 * np.sin(u * 230.0 + 4.0 * np.sin(v * 3.0))


def illuminate(
    nx: np.ndarray, ny: np.ndarray, light: tuple[float, float, float], finish: Finish
) -> tuple[np.ndarray, np.ndarray]:
    """Return how brightly a surface is lit, and how strongly it reflects the light.

    Args:
        nx: Horizontal part of the unit normal, shape (h, w); positive to the right.
        ny: Vertical part of the unit normal, shape (h, w); positive downwards.
        light: Unit vector toward the light (x right, y down, z to the viewer).
        finish: The material.

    Returns:
        Brightness factor, 1 where the surface faces the viewer, and highlight in [0, 1], float32 of shape (h, w).
    """
    lx, ly, lz = light
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.0))
    # Relative to a surface that faces the viewer, so that most of a product keeps its named color.
    shade = 1.0 + finish.contrast * (nx * lx + ny * ly + (nz - 0.96) * lz)
    if finish.bands:
        shade = shade + finish.bands * np.cos(8.0 * nx + 3.0 * ny + 0.6)
    highlight = np.zeros_like(shade)
    if finish.gloss:
        # A studio lamp is a tall strip next to the camera, so its reflection is a streak on upright walls too.
        hx, hy, hz = 1.5 * lx, 0.45 * ly, lz + 1.0
        norm = math.sqrt(hx * hx + hy * hy + hz * hz)
        half = np.clip((nx * hx + ny * hy + nz * hz) / norm, 0.0, 1.0)
        # No highlight on surfaces that face the viewer, or flat fronts would be washed out.
        highlight = finish.gloss * half ** (2.0 * finish.sharpness) * np.clip(9.0 * (1.0 - nz), 0.0, 1.0)
    return shade.astype(np.float32), highlight.astype(np.float32)


def lit_color(color: np.ndarray, shade: np.ndarray, highlight: np.ndarray) -> np.ndarray:
    """Return a color as lit, uint8 of shape (h, w, 3).

    Args:
        color: Base color in [0, 255], float32 of shape (3,) or (h, w, 3).
        shade: Brightness factor, shape (h, w); above 1 the color moves toward white.
        highlight: Share of white to mix in, in [0, 1], shape (h, w).
    """
    white = np.minimum(highlight + np.maximum(shade - 1.0, 0.0) * 0.55, 0.9)
    # color * dark + (255 - color * dark) * white, with one multiplication per channel.
    dark = np.minimum(shade, 1.0) * (1.0 - white)
    return (color * dark[..., None] + 255.0 * white[..., None]).astype(np.uint8)
