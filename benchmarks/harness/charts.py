"""Bar charts with intervals and scatter plots, drawn with PIL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval

Points = tuple[np.ndarray, np.ndarray]
"""x `[N]` and y `[N]`."""

_INK, _MUTED, _GRID = (30, 30, 30), (110, 110, 110), (225, 225, 225)
_COLORS = ((52, 101, 164), (230, 126, 34), (90, 160, 90), (150, 90, 160))
_SCALE = 2  # pixels per unit, for high-density screens
_OPACITY = 110


class _Sheet:
    """A white picture in units of two pixels, with a title and a legend."""

    def __init__(self, width: float, height: float, title: str, series: Sequence[str]):
        self.image = Image.new("RGB", (round(width * _SCALE), round(height * _SCALE)), "white")
        self._draw = ImageDraw.Draw(self.image)
        self.text((14, 12), title, size=17, anchor="la")
        x = 14.0
        for name, color in zip(series, _COLORS, strict=False):
            self.box((x, 47, x + 12, 59), color)
            self.text((x + 18, 53), name)
            x += 44 + text_width(name)

    def text(
        self, at: tuple[float, float], text: str, *, size: int = 13, color: tuple = _INK, anchor: str = "lm"
    ) -> None:
        x, y = (value * _SCALE for value in at)
        self._draw.text((x, y), text, fill=color, font=_font(size), anchor=anchor)

    def box(self, corners: Sequence[float], color: tuple) -> None:
        self._draw.rectangle([value * _SCALE for value in corners], fill=color)

    def line(self, ends: Sequence[float], color: tuple | str, width: int = 1) -> None:
        self._draw.line([value * _SCALE for value in ends], fill=color, width=width * _SCALE)

    def dots(self, points: np.ndarray, color: tuple, radius: int = 2) -> None:
        """Draw translucent dots at `[N, 2]`."""
        mask = Image.new("L", self.image.size)
        pen = ImageDraw.Draw(mask)
        for x, y in points * _SCALE:
            reach = radius * _SCALE
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_OPACITY)
        self.image.paste(color, mask=mask)


def draw_bars(
    rows: Mapping[str, Sequence[BootstrapInterval | None]],
    series: Sequence[str],
    *,
    title: str,
    unit: str = "%",
    width: int = 900,
) -> Image.Image:
    """Draw horizontal bars with whiskers, grouped by row.

    Args:
        rows: label -> one non-negative interval for each of `series`; None leaves the bar out.
        series: names for the legend, at most four.
        title: heading.
        unit: printed after the numbers of the axis.
        width: width of the picture in units of two pixels.

    Returns:
        RGB image.

    Raises:
        ValueError: if there is nothing to draw, or a row does not have one entry for each of `series`.
    """
    if not rows or not 1 <= len(series) <= len(_COLORS):
        raise ValueError(f"expected rows and 1 to {len(_COLORS)} series, found {len(rows)} and {len(series)}")
    for label, values in rows.items():
        if len(values) != len(series):
            raise ValueError(f"row {label!r}: expected {len(series)} values, found {len(values)}")
    bar, gap, head, foot = 16, 14, 76, 34
    group = len(series) * bar + gap
    bottom = head + len(rows) * group
    left, right = max(map(text_width, rows)) + 28, width - 70
    top_value = max((value.high for values in rows.values() for value in values if value is not None), default=1.0)
    step = _step(top_value, 8)
    end = max(step, math.ceil(top_value / step - 1e-9) * step)
    sheet = _Sheet(width, bottom + foot, title, series)

    def across(value: float) -> float:
        return left + (right - left) * value / end

    for index in range(round(end / step) + 1):
        x = across(index * step)
        sheet.line((x, head - 6, x, bottom), _GRID)
        sheet.text((x, bottom + 6), f"{index * step:g}{unit}", color=_MUTED, anchor="mt")
    for place, (label, values) in enumerate(rows.items()):
        top = head + place * group + gap / 2
        sheet.text((left - 12, top + len(series) * bar / 2), label, anchor="rm")
        for index, (value, color) in enumerate(zip(values, _COLORS, strict=False)):
            if value is None:
                continue
            y = top + (index + 0.5) * bar
            sheet.box((left, y - bar / 2 + 1, across(value.mean), y + bar / 2 - 1), color)
            sheet.line((across(value.low), y, across(value.high), y), _INK)
            for bound in (value.low, value.high):
                sheet.line((across(bound), y - 4, across(bound), y + 4), _INK)
            sheet.text((across(value.high) + 7, y), f"{value.mean:.1f}")
    return sheet.image


def draw_scatter(
    panels: Mapping[str, Mapping[str, Points]], *, title: str, x_label: str, y_label: str, side: int = 270
) -> Image.Image:
    """Draw scatter plots side by side on the same axes, with a cross at the mean of each series.

    Args:
        panels: name of a panel -> name of a series -> its points; the same series in each panel, at most two.
        title: heading.
        x_label: label of the x axes.
        y_label: label of the y axis.
        side: side of a panel in units of two pixels.

    Returns:
        RGB image.

    Raises:
        ValueError: if there is nothing to draw, or there are more than two series.
    """
    series = list(next(iter(panels.values()), {}))
    if not 1 <= len(series) <= 2:
        raise ValueError(f"expected panels of 1 to 2 series, found {len(series)}")
    clouds = [np.stack(cloud) for panel in panels.values() for cloud in panel.values()]
    values = np.concatenate(clouds, axis=1)
    room = 0.05 * np.ptp(values, axis=1)
    low, high = values.min(axis=1) - np.where(room, room, 0.05), values.max(axis=1) + np.where(room, room, 0.05)
    left, gap, head, foot = 74, 22, 96, 56
    sheet = _Sheet(left + len(panels) * (side + gap), head + side + foot, title, series)
    sheet.text((14, head - 12), y_label, size=11, color=_MUTED, anchor="lb")
    for number, (name, panel) in enumerate(panels.items()):
        x0 = left + number * (side + gap)
        for tick in _ticks(low[0], high[0]):
            x = x0 + side * (tick - low[0]) / (high[0] - low[0])
            sheet.line((x, head, x, head + side), _GRID)
            sheet.text((x, head + side + 5), f"{tick:g}", size=11, color=_MUTED, anchor="mt")
        for tick in _ticks(low[1], high[1]):
            y = head + side * (1 - (tick - low[1]) / (high[1] - low[1]))
            sheet.line((x0, y, x0 + side, y), _GRID)
            if number == 0:
                sheet.text((x0 - 7, y), f"{tick:g}", size=11, color=_MUTED, anchor="rm")
        sheet.text((x0 + side / 2, head + side + 24), name, anchor="mt")
        sheet.text((x0 + side / 2, head + side + 41), x_label, size=11, color=_MUTED, anchor="mt")
        origin = np.array([x0, head + side])
        placed = [
            origin + side * ((np.stack(cloud, axis=1) - low) / (high - low)) * (1, -1) for cloud in panel.values()
        ]
        for points, color in zip(placed, _COLORS, strict=False):
            sheet.dots(points, color)
        for points, color in zip(placed, _COLORS, strict=False):
            x, y = points.mean(axis=0)
            for width, fill in ((6, "white"), (3, color)):
                sheet.line((x - 9, y, x + 9, y), fill, width)
                sheet.line((x, y - 9, x, y + 9), fill, width)
    return sheet.image


def text_width(text: str) -> float:
    """Return the width of a label in units of two pixels."""
    return _font(13).getlength(text) / _SCALE


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)


def _step(span: float, most: int) -> float:
    """Distance of grid lines: 1, 2 or 5 times a power of ten, with at most `most` of them in `span`."""
    power = 10.0 ** math.floor(math.log10(max(span, 1e-9)))
    return next(factor * power for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (factor * power) <= most)


def _ticks(low: float, high: float) -> list[float]:
    """Multiples of a round step between two values, about five of them."""
    step = _step(high - low, 6)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]
