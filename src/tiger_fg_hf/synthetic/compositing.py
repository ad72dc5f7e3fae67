"""Shadows, light and noise of composed pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

# Share of a background's tint that passes on to a cut-out: most of its color is paint, not light.
_TINT_SHARE = 0.25
_BYTE_SUM_STD = math.sqrt((256**2 - 1) / 6)


def drop_shadow(
    background: Image.Image,
    alpha: Image.Image,
    strength: float,
    rng: np.random.Generator,
    *,
    at: tuple[int, int] = (0, 0),
) -> None:
    """Darken a background, in place, by the soft shadow of a cut-out.

    Args:
        background: What the cut-out will be pasted on, RGB.
        alpha: Alpha of the cut-out.
        strength: How dark the shadow is, in [0, 1].
        rng: Draws its offset and softness.
        at: Upper left corner of the cut-out on the background.
    """
    side = max(alpha.size)
    right, down = np.rint(rng.uniform([-0.04, 0.0], [0.04, 0.06]) * side)
    shadow = Image.new("L", background.size)
    dark = Image.fromarray((np.asarray(alpha) * np.float32(strength)).astype(np.uint8))
    shadow.paste(dark, (at[0] + int(right), at[1] + int(down)))
    shadow = shadow.filter(ImageFilter.BoxBlur(side * rng.uniform(0.015, 0.05)))
    background.paste((0, 0, 0), (0, 0), shadow)


def harmonize(cutout: Image.Image, background: Image.Image, strength: float) -> Image.Image:
    """Move brightness and tint of a cut-out toward its background, as if one light fell on both."""
    means = np.asarray(background.resize((1, 1), Image.Resampling.BOX), dtype=np.float64).ravel() + 1
    gains = (means.mean() / 170) ** strength * (means / means.mean()) ** (_TINT_SHARE * strength)
    red, green, blue = gains.clip(0.55, 1.15).tolist()
    return cutout.convert("RGB", (red, 0, 0, 0, 0, green, 0, 0, 0, 0, blue, 0))


def color_matrix(
    *, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, temperature: float = 0.0
) -> tuple[float, ...]:
    """Return the 12 numbers with which `Image.convert("RGB", matrix)` changes the light of an image in one pass.

    Args:
        brightness: Factor; 1 changes nothing.
        contrast: Factor; 1 changes nothing.
        saturation: Factor; 1 changes nothing.
        temperature: Gain of red and loss of blue; 0 changes nothing.
    """
    gray = (1 - saturation) * np.array([0.299, 0.587, 0.114])
    gains = brightness * np.array([1 + temperature, 1.0, 1 - temperature])
    colors = contrast * gains[:, None] * (saturation * np.eye(3) + gray)
    offsets = 128 * (1 - contrast) * gains
    return tuple(np.concatenate([colors, offsets[:, None]], axis=1).ravel().tolist())


def draw_color_matrix(config: Any, rng: np.random.Generator, *names: str) -> tuple[float, ...]:
    """Draw the settings `names` of a config from their ranges, in this order, and return their `color_matrix`."""
    return color_matrix(**{name: rng.uniform(*getattr(config, name)) for name in names})


def shade(image: Image.Image, falloff: float, noise: float, rng: np.random.Generator) -> Image.Image:
    """Let light fall off linearly to 1 - `falloff` across an image, and add noise of deviation `noise`, in levels."""
    pixels = np.array(image, dtype=np.float32)
    if falloff:
        angle = rng.uniform(0, 2 * math.pi)
        x = np.linspace(-1, 1, image.width, dtype=np.float32)[None, :] * math.cos(angle)
        y = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None] * math.sin(angle)
        light = (x + y) / (abs(math.cos(angle)) + abs(math.sin(angle)))
        pixels *= 1 - falloff * (light[..., None] + 1) / 2
    if noise:
        # The sum of two random bytes: at 8 bits as good as a normal number, and much faster.
        first, second = np.frombuffer(rng.bytes(2 * pixels.size), np.uint8).reshape(2, *pixels.shape)
        grain = first.astype(np.float32)
        grain += second
        grain -= 255
        grain *= noise / _BYTE_SUM_STD
        pixels += grain
    return Image.fromarray(pixels.clip(0, 255, out=pixels).astype(np.uint8))
