"""What overlays are painted on: a canvas to fill with shapes, and a patch with a shop's style and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ..shapes import star
from .style import GOLD, SILVER, Color, Style

Area = tuple[float, float, float, float]
Point = tuple[float, float]


class Canvas:
    """A transparent RGBA picture that is painted by filling masks.

    Args:
        width: Its width in pixels.
        height: Its height in pixels.

    Attributes:
        image: The picture.
    """

    #: Radius of the corners of a plate, as a share of its shorter side.
    roundness = 0.0

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.image = Image.new("RGBA", (width, height))

    def mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """Return an empty mask of the canvas's size, and the `ImageDraw` for it."""
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)

    def plate(self, area: Area | None = None, *, radius: float | None = None) -> Image.Image:
        """Return the mask of a rectangle with corners of `radius` pixels; by default, from `roundness`."""
        x0, y0, x1, y1 = area or (0, 0, self.width, self.height)
        mask, draw = self.mask()
        rounding = self.roundness * min(x1 - x0, y1 - y0) if radius is None else radius
        draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), rounding, fill=255)
        return mask

    def edge(self, thickness: float, *, radius: float = 0.0) -> Image.Image:
        """Return the mask of a line around the canvas, `thickness` pixels wide; its inner corners have `radius`."""
        t = thickness
        inner = self.plate((t, t, self.width - t, self.height - t), radius=radius)
        return without(self.plate(radius=0), inner)

    def polygon(self, *outlines: np.ndarray) -> Image.Image:
        """Return the mask of one or more polygons of points `[N, 2]` in pixels."""
        mask, draw = self.mask()
        for points in outlines:
            draw.polygon(np.asarray(points, float).ravel().tolist(), fill=255)
        return mask

    def disc(self, center: Point, radius: float) -> Image.Image:
        """Return the mask of a disc."""
        mask, draw = self.mask()
        draw.ellipse(_around(center, radius), fill=255)
        return mask

    def ring(self, center: Point, radius: float, line: float) -> Image.Image:
        """Return the mask of a circle whose line lies within `radius` and is about `line` pixels wide."""
        mask, draw = self.mask()
        draw.ellipse(_around(center, radius), outline=255, width=max(1, round(line)))
        return mask

    def star(self, center: Point, radius: float) -> Image.Image:
        """Return the mask of a star with five tips."""
        return self.polygon(star(center, radius, 0.42, 5))

    def fill(
        self,
        mask: Image.Image,
        color: Color,
        to: Color | None = None,
        *,
        direction: str = "down",
        opacity: float = 1.0,
    ) -> None:
        """Paint a color, or a gradient from `color` to another, where a mask of the canvas's size is set."""
        if opacity < 1:
            mask = mask.point([round(value * opacity) for value in range(256)])
        box = mask.getbbox()
        if box is None:
            return
        mask = mask.crop(box)
        if to is None or direction == "flat":
            layer = Image.new("RGBA", mask.size, (*color, 0))
        else:
            ramp = Image.linear_gradient("L")
            if direction == "across":
                ramp = ramp.transpose(Image.Transpose.ROTATE_90)
            ramp = ramp.resize(self.image.size).crop(box)
            layer = Image.composite(Image.new("RGB", ramp.size, to), Image.new("RGB", ramp.size, color), ramp)
            layer = layer.convert("RGBA")
        layer.putalpha(mask)
        self.image.alpha_composite(layer, box[:2])

    def rating(self, centers: Sequence[Point], radius: float, full: int) -> None:
        """Paint a row of stars, the first `full` of them in gold and the others in silver."""
        stars = [star(center, radius, 0.42, 5) for center in centers]
        self.fill(self.polygon(*stars[:full]), GOLD)
        self.fill(self.polygon(*stars[full:]), SILVER)


class Patch(Canvas):
    """A canvas for one element in a shop's style.

    Args:
        style: The shop's style.
        width: Its width in pixels, at least 4.
        height: Its height in pixels, at least 4.
    """

    def __init__(self, style: Style, width: int, height: int):
        super().__init__(max(4, width), max(4, height))
        self.style, self.roundness = style, style.roundness

    def area(self, mask: Image.Image, *, opacity: float = 1.0) -> None:
        """Fill a mask with the palette's main colors, by the style's gradient."""
        palette = self.style.palette
        self.fill(mask, palette.main, palette.deep, direction=self.style.gradient, opacity=opacity)

    def write(
        self,
        area: Area,
        text: str,
        ink: Color,
        *,
        align: str = "middle",
        outline: Color | None = None,
        bold: float | None = None,
        strike: bool = False,
        limit: float = math.inf,
    ) -> Area:
        """Write one line as large as an area and `limit` allow.

        Args:
            area: `(x0, y0, x1, y1)` in pixels.
            text: What to write.
            ink: Its color.
            align: "left", "middle" or "right" of the area; always halfway down.
            outline: Color around the letters.
            bold: Width of strokes, instead of the style's.
            strike: Whether to strike it through.
            limit: Largest scale of the letters (see `fit`).

        Returns:
            The area of the ink.
        """
        x0, y0, x1, y1 = area
        rim = max(1, round(0.05 * (y1 - y0))) if outline is not None else 0
        look = self._look(bold)
        font = self.style.voice.font
        scale = font.fit(text, (max(2.0, x1 - x0 - 2 * rim), max(2.0, y1 - y0 - 2 * rim)), **look)
        letters = font.mask(text, min(scale, limit), **look)
        free = x1 - x0 - letters.width
        left = round(x0 + {"left": rim, "middle": free / 2, "right": free - rim}[align])
        top = round((y0 + y1 - letters.height) / 2)
        mask = Image.new("L", self.image.size)
        mask.paste(letters, (left, top))
        if strike:
            line = max(1, round(0.09 * letters.height))
            middle = top + letters.height // 2
            ImageDraw.Draw(mask).rectangle(
                (left - line, middle - line // 2, left + letters.width + line, middle - line // 2 + line - 1), fill=255
            )
        if outline is not None:
            self.fill(mask.filter(ImageFilter.MaxFilter(2 * rim + 1)), outline)
        self.fill(mask, ink)
        return (left, top, left + letters.width, top + letters.height)

    def fit(self, area: Area, texts: Sequence[str]) -> float:
        """Return the largest scale at which each of several texts fits an area, to write a list at one size."""
        size = (max(2.0, area[2] - area[0]), max(2.0, area[3] - area[1]))
        return min(self.style.voice.font.fit(text, size, **self._look()) for text in texts)

    def shaded(self) -> Image.Image:
        """Return the finished element; with a soft shadow, and slightly larger, if the style has shadows."""
        if not self.style.shadow:
            return self.image
        reach = max(1, round(0.03 * min(self.width, self.height)))
        size = (self.width + 2 * reach, self.height + 2 * reach)
        alpha = Image.new("L", size)
        alpha.paste(self.image.getchannel("A"), (reach, reach + reach // 2))
        alpha = alpha.filter(ImageFilter.BoxBlur(reach)).point([value * 2 // 5 for value in range(256)])
        result = Image.merge("RGBA", (*(Image.new("L", size),) * 3, alpha))
        result.alpha_composite(self.image, (reach, reach))
        return result

    def _look(self, bold: float | None = None) -> dict[str, Any]:
        """Return the options of the font's `mask`; a bold or slanted font is not made bold or slanted again."""
        style, font = self.style, self.style.voice.font
        return {
            "bold": 0.0 if font.is_bold else style.bold if bold is None else bold,
            "slant": style.slant and not font.is_slanted,
            "narrow": style.narrow,
        }


def split_rows(area: Area, weights: Sequence[float], gap: float = 0.12) -> list[Area]:
    """Split an area into rows with heights by their weights; `gap` between them is a share of the mean row."""
    x0, y0, x1, y1 = area
    space = gap * (y1 - y0) / len(weights)
    unit = (y1 - y0 - space * (len(weights) - 1)) / sum(weights)
    rows = []
    for weight in weights:
        rows.append((x0, y0, x1, y0 + unit * weight))
        y0 += unit * weight + space
    return rows


def inset(area: Area, across: float, down: float = 0.0) -> Area:
    """Shrink an area by shares of its width and height on each side."""
    x0, y0, x1, y1 = area
    dx, dy = across * (x1 - x0), down * (y1 - y0)
    return (x0 + dx, y0 + dy, x1 - dx, y1 - dy)


def both(first: Image.Image, second: Image.Image) -> Image.Image:
    """Return where two masks are set."""
    return ImageChops.darker(first, second)


def without(mask: Image.Image, hole: Image.Image) -> Image.Image:
    """Return where the first mask is set and the second is not."""
    return ImageChops.subtract(mask, hole)


def compose(image: Image.Image, piece: Image.Image, x: int, y: int) -> None:
    """Lay an RGBA piece on an RGBA image, in place, with its upper left corner at (x, y), and cut off the rest."""
    left, top = max(0, -x), max(0, -y)
    image.alpha_composite(piece.crop((left, top, piece.width, piece.height)), (max(0, x), max(0, y)))


def _around(center: Point, radius: float) -> Area:
    x, y = center
    return (x - radius, y - radius, x + radius, y + radius)
