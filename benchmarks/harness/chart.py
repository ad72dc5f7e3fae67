"""A bar chart with intervals, drawn with PIL alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval

_INK, _MUTED, _GRID = (30, 30, 30), (110, 110, 110), (225, 225, 225)
_COLOURS = ((52, 101, 164), (230, 126, 34), (90, 160, 90), (150, 90, 160))
_SCALE = 2  # pixels per unit: sharp where screens are


def draw_bars(
    rows: Mapping[str, Sequence[BootstrapInterval | None]],
    series: Sequence[str],
    *,
    title: str,
    unit: str = "%",
    width: int = 900,
) -> Image.Image:
    """
    Horizontal bars with whiskers, a group of them for each row.

    Args:
        rows: label -> an interval for each of `series`, not negative; None is left out.
        series: names for the legend, at most four.
        title: headline.
        unit: after each value.
        width: of the picture in units of 2 pixels.

    Returns:
        RGB image.

    Raises:
        ValueError: there is nothing to draw, or a row has not one entry for each of `series`.
    """
    if not rows or not 1 <= len(series) <= len(_COLOURS):
        raise ValueError(f"expected rows and 1 to {len(_COLOURS)} series, found {len(rows)} and {len(series)}")
    for label, values in rows.items():
        if len(values) != len(series):
            raise ValueError(f"row {label!r}: expected {len(series)} values, found {len(values)}")
    big, font = ImageFont.load_default(17 * _SCALE), ImageFont.load_default(13 * _SCALE)
    bar, gap, head, foot = 16 * _SCALE, 14 * _SCALE, 76 * _SCALE, 34 * _SCALE
    group = len(series) * bar + gap
    sheet = Image.new("RGB", (width * _SCALE, head + len(rows) * group + foot), "white")
    draw = ImageDraw.Draw(sheet)
    left = int(max(draw.textlength(label, font=font) for label in rows)) + 28 * _SCALE
    right = sheet.width - 70 * _SCALE
    top_value = max((value.high for values in rows.values() for value in values if value is not None), default=1.0)
    step = _step(top_value)
    end = max(step, math.ceil(top_value / step - 1e-9) * step)

    def across(value: float) -> float:
        return left + (right - left) * value / end

    draw.text((14 * _SCALE, 12 * _SCALE), title, fill=_INK, font=big)
    x = float(left)
    for name, colour in zip(series, _COLOURS, strict=False):
        draw.rectangle((x, 47 * _SCALE, x + 12 * _SCALE, 59 * _SCALE), fill=colour)
        draw.text((x + 18 * _SCALE, 53 * _SCALE), name, fill=_INK, font=font, anchor="lm")
        x += 44 * _SCALE + draw.textlength(name, font=font)
    bottom = head + len(rows) * group
    for index in range(round(end / step) + 1):
        x = across(index * step)
        draw.line((x, head - 6 * _SCALE, x, bottom), fill=_GRID, width=_SCALE)
        draw.text((x, bottom + 6 * _SCALE), f"{index * step:g}{unit}", fill=_MUTED, font=font, anchor="mt")
    for place, (label, values) in enumerate(rows.items()):
        top = head + place * group + gap // 2
        middle = top + len(series) * bar / 2
        draw.text((left - 12 * _SCALE, middle), label, fill=_INK, font=font, anchor="rm")
        for index, value in enumerate(values):
            if value is None:
                continue
            y0, y = top + index * bar, top + (index + 0.5) * bar
            draw.rectangle((left, y0 + _SCALE, across(value.mean), y0 + bar - _SCALE), fill=_COLOURS[index])
            draw.line((across(value.low), y, across(value.high), y), fill=_INK, width=_SCALE)
            for bound in (value.low, value.high):
                draw.line((across(bound), y - 4 * _SCALE, across(bound), y + 4 * _SCALE), fill=_INK, width=_SCALE)
            draw.text((across(value.high) + 7 * _SCALE, y), f"{value.mean:.1f}", fill=_INK, font=font, anchor="lm")
    return sheet


def _step(top: float) -> float:
    """Distance of grid lines: 1, 2 or 5 times a power of ten, four to ten of them."""
    power = 10.0 ** math.floor(math.log10(max(top, 1e-9)))
    return next(factor * power for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if top / (factor * power) <= 8)
