"""The viewpoint and the light under which a product is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..streams import pick


@dataclass(frozen=True)
class View:
    """Viewpoint, scale and light.

    Attributes:
        roll: Rotation in the picture plane, degrees.
        yaw: Rotation about the vertical axis, degrees in [-45, 45]; it also moves prints around round bodies.
        elevation: Height over width of the ellipses at the rims of round bodies; larger is further from above.
        shear: Horizontal shear, fraction of the height.
        perspective: Keystone from top to bottom, in [-0.3, 0.3].
        flip: Mirror the product left to right.
        scale: Longest side of the product as a fraction of the picture, in (0, 1].
        light_angle: Direction the light comes from, degrees (-90 above, 180 left).
        light_height: Angle of the light toward the viewer, degrees in (0, 90).
        brightness: Factor on all colors.
        tint: Factor on red, green and blue.
    """

    roll: float = 0.0
    yaw: float = 0.0
    elevation: float = 0.16
    shear: float = 0.0
    perspective: float = 0.0
    flip: bool = False
    scale: float = 0.9
    light_angle: float = -125.0
    light_height: float = 42.0
    brightness: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def light(self) -> tuple[float, float, float]:
        """Unit vector toward the light (x right, y down, z to the viewer)."""
        flat = math.cos(math.radians(self.light_height))
        angle = math.radians(self.light_angle)
        return flat * math.cos(angle), flat * math.sin(angle), math.sin(math.radians(self.light_height))


def listing_view(rng: np.random.Generator, *, tilt: float = 0.0) -> View:
    """Draw a seller's view: nearly frontal and neutrally lit, with a roll of up to `tilt` degrees."""
    return View(
        roll=float(rng.uniform(-1.0, 1.0)) * tilt,
        yaw=float(rng.uniform(-14.0, 14.0)),
        elevation=float(rng.uniform(0.11, 0.2)),
        perspective=float(rng.uniform(-0.04, 0.04)),
        light_angle=float(rng.uniform(-145.0, -55.0)),
        light_height=float(rng.uniform(36.0, 50.0)),
        brightness=float(rng.uniform(0.97, 1.04)),
    )


def query_view(rng: np.random.Generator, *, may_flip: bool) -> View:
    """Draw a shopper's view: any viewpoint, any light, and mirrored or not."""
    warm = float(rng.uniform(-0.09, 0.09))
    return View(
        roll=float(np.clip(rng.normal(0.0, 11.0), -28.0, 28.0)),
        yaw=float(rng.uniform(-32.0, 32.0)),
        elevation=float(rng.uniform(0.08, 0.32)),
        shear=float(rng.uniform(-0.12, 0.12)),
        perspective=float(rng.uniform(-0.16, 0.16)),
        flip=may_flip and bool(rng.random() < 0.3),
        light_angle=float(pick(rng, (-160.0, -130.0, -100.0, -70.0, -40.0, -15.0)) + rng.uniform(-12.0, 12.0)),
        light_height=float(rng.uniform(28.0, 55.0)),
        brightness=float(rng.uniform(0.74, 1.1)),
        tint=(1.0 + warm, 1.0, 1.0 - warm),
    )
