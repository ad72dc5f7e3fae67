"""Scatter plots side by side on the same axes, drawn with PIL alone."""

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = tuple[np.ndarray, np.ndarray]
"""x `[N]` and y `[N]`."""

_INK, _MUTED, _GRID = (30, 30, 30), (110, 110, 110), (225, 225, 225)
_COLOURS = ((52, 101, 164), (230, 126, 34))
_SCALE = 2  # pixels per unit: sharp where screens are
_OPACITY = 110


def draw_scatter(
    panels: Mapping[str, Mapping[str, Points]], *, title: str, x_label: str, y_label: str, side: int = 270
) -> Image.Image:
    """
    One panel for each entry; every series is a cloud of dots with a cross at its mean.

    Args:
        panels: name of a panel -> name of a series -> its points; at most two series, the same ones in each panel.
        title, x_label, y_label: headline, and what the axes are.
        side: of a panel in units of 2 pixels.

    Returns:
        RGB image.

    Raises:
        ValueError: there is nothing to draw, or more series than colours.
    """
    series = list(next(iter(panels.values()), {}))
    if not 1 <= len(series) <= len(_COLOURS):
        raise ValueError(f"expected panels of 1 to {len(_COLOURS)} series, found {len(series)}")
    clouds = [cloud for panel in panels.values() for cloud in panel.values()]
    bounds = [_bounds(np.concatenate([cloud[axis] for cloud in clouds])) for axis in (0, 1)]
    big, font, small = (ImageFont.load_default(size * _SCALE) for size in (17, 13, 11))
    left, gap, head, foot = 74 * _SCALE, 22 * _SCALE, 96 * _SCALE, 56 * _SCALE
    size = side * _SCALE
    sheet = Image.new("RGB", (left + len(panels) * (size + gap), head + size + foot), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((14 * _SCALE, 12 * _SCALE), title, fill=_INK, font=big)
    x = float(14 * _SCALE)
    for name, colour in zip(series, _COLOURS, strict=False):
        draw.rectangle((x, 45 * _SCALE, x + 12 * _SCALE, 57 * _SCALE), fill=colour)
        draw.text((x + 18 * _SCALE, 51 * _SCALE), name, fill=_INK, font=font, anchor="lm")
        x += 44 * _SCALE + draw.textlength(name, font=font)
    draw.text((14 * _SCALE, head - 12 * _SCALE), y_label, fill=_MUTED, font=small, anchor="lb")

    for number, (name, panel) in enumerate(panels.items()):
        x0 = left + number * (size + gap)

        def place(cloud: Points, x0: int = x0) -> np.ndarray:
            """Pixels `[N, 2]` of some points."""
            share = [(cloud[axis] - bounds[axis][0]) / (bounds[axis][1] - bounds[axis][0]) for axis in (0, 1)]
            return np.stack([x0 + size * share[0], head + size * (1 - share[1])], axis=1)

        for axis in (0, 1):
            for tick in _ticks(*bounds[axis]):
                at = place((np.array([tick]), np.array([tick])))[0]
                if axis == 0:
                    draw.line((at[0], head, at[0], head + size), fill=_GRID, width=_SCALE)
                    draw.text((at[0], head + size + 5 * _SCALE), f"{tick:g}", fill=_MUTED, font=small, anchor="mt")
                else:
                    draw.line((x0, at[1], x0 + size, at[1]), fill=_GRID, width=_SCALE)
                    if number == 0:
                        draw.text((x0 - 7 * _SCALE, at[1]), f"{tick:g}", fill=_MUTED, font=small, anchor="rm")
        draw.text((x0 + size / 2, head + size + 24 * _SCALE), name, fill=_INK, font=font, anchor="mt")
        draw.text((x0 + size / 2, head + size + 41 * _SCALE), x_label, fill=_MUTED, font=small, anchor="mt")
        radius = 2 * _SCALE
        for cloud, colour in zip(panel.values(), _COLOURS, strict=False):
            mask = Image.new("L", sheet.size)
            dots = ImageDraw.Draw(mask)
            for px, py in place(cloud):
                dots.ellipse((px - radius, py - radius, px + radius, py + radius), fill=_OPACITY)
            sheet.paste(colour, mask=mask)
        for cloud, colour in zip(panel.values(), _COLOURS, strict=False):
            px, py = place(cloud).mean(axis=0)
            for width, fill in ((6, "white"), (3, colour)):
                reach = 9 * _SCALE
                draw.line((px - reach, py, px + reach, py), fill=fill, width=width * _SCALE)
                draw.line((px, py - reach, px, py + reach), fill=fill, width=width * _SCALE)
    return sheet


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis, a little beyond its values."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.05
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, about five of them."""
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(factor * power for factor in (0.2, 0.5, 1.0, 2.0) if (high - low) / (factor * power) <= 6)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]
