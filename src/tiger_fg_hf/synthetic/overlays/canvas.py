"""What promotional elements are drawn with: a shop's style, and a patch to fill with shapes, gradients and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ..drawn.streams import pick
from .fonts import FontSet
from .words import Voice, draw_voice

Color = tuple[int, int, int]
Area = tuple[float, float, float, float]

WHITE: Color = (255, 255, 255)
DARK: Color = (30, 30, 34)
# Width of strokes against the height of letters: Pillow's font is a regular one, and shops shout.
_WEIGHTS = (0.021, 0.032, 0.042)


class Palette(NamedTuple):
    """Colours that go together.

    Attributes:
        main, deep: of large areas and their darker end.
        ink: of text on them.
        accent: of what must stand out from them.
        accent_ink: of text on `accent`.
    """

    main: Color
    deep: Color
    ink: Color
    accent: Color
    accent_ink: Color


PALETTES = (
    Palette((230, 38, 30), (176, 12, 22), WHITE, (255, 218, 96), (176, 12, 22)),  # red and gold
    Palette((226, 32, 42), (150, 8, 30), WHITE, WHITE, (214, 24, 36)),  # red and white
    Palette((255, 96, 24), (226, 52, 8), WHITE, (255, 236, 140), (206, 44, 4)),  # orange
    Palette((255, 80, 0), (255, 0, 54), WHITE, (255, 245, 225), (240, 30, 30)),  # orange to red
    Palette((214, 28, 110), (132, 18, 120), WHITE, (255, 226, 84), (140, 16, 96)),  # magenta
    Palette((98, 54, 190), (58, 24, 128), WHITE, (255, 92, 150), WHITE),  # purple and pink
    Palette((14, 104, 196), (6, 58, 132), WHITE, (255, 206, 30), (8, 56, 122)),  # blue and yellow
    Palette((20, 34, 66), (10, 18, 40), WHITE, (255, 140, 24), WHITE),  # navy and orange
    Palette((20, 150, 140), (8, 98, 104), WHITE, (255, 240, 170), (8, 88, 92)),  # teal
    Palette((46, 144, 66), (18, 96, 46), WHITE, (246, 226, 96), (18, 86, 42)),  # green
    Palette((28, 28, 30), (4, 4, 6), (236, 204, 138), (212, 172, 98), (24, 22, 20)),  # black and gold
    Palette((24, 24, 28), (0, 0, 0), WHITE, (236, 32, 44), WHITE),  # black and red
    Palette((255, 214, 10), (250, 178, 0), (34, 30, 26), (226, 32, 36), WHITE),  # yellow and black
    Palette((244, 132, 158), (226, 84, 124), WHITE, (255, 246, 238), (206, 62, 104)),  # pink
    Palette((238, 230, 216), (222, 208, 186), (66, 52, 40), (150, 86, 48), WHITE),  # beige
    Palette((66, 190, 226), (18, 130, 196), WHITE, (255, 246, 120), (12, 92, 150)),  # sky
)


@dataclass(frozen=True)
class Style:
    """How one shop's promotions look: all elements of a picture share it.

    Attributes:
        palette: its colours.
        voice: its language and font.
        bold: width of strokes, as a share of the height of letters.
        slant: whether letters lean.
        narrow: width of letters as a share of the font's own.
        roundness: radius of corners, as a share of an element's height.
        gradient: how areas run from `main` to `deep`: "flat", "down" or "across".
        shadow: whether elements cast a soft shadow.
        outline: whether loud words have an outline.
    """

    palette: Palette
    voice: Voice
    bold: float
    slant: bool
    narrow: float
    roundness: float
    gradient: str
    shadow: bool
    outline: bool


def draw_style(fonts: FontSet, rng: np.random.Generator) -> Style:
    """Draws the style of a shop."""
    return Style(
        palette=pick(rng, PALETTES),
        voice=draw_voice(fonts, rng),
        bold=pick(rng, _WEIGHTS),
        slant=bool(rng.random() < 0.25),
        narrow=pick(rng, (1.0, 0.92, 0.84)),
        roundness=pick(rng, (0.0, 0.12, 0.28, 0.5)),
        gradient=pick(rng, ("flat", "down", "across")),
        shadow=bool(rng.random() < 0.4),
        outline=bool(rng.random() < 0.3),
    )


class Patch:
    """A transparent picture to draw one element on.

    Args:
        style: of the shop.
        width, height: in pixels.
    """

    def __init__(self, style: Style, width: int, height: int):
        self.style, self.width, self.height = style, max(4, width), max(4, height)
        self.image = Image.new("RGBA", (self.width, self.height))

    def mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """An empty mask of the patch's size, and what draws on it."""
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)

    def fill(
        self,
        mask: Image.Image,
        color: Color,
        to: Color | None = None,
        *,
        direction: str = "down",
        opacity: float = 1.0,
    ) -> None:
        """Lays a colour, or a gradient from `color` `to` another, over where a mask of the patch's size is set."""
        if opacity < 1:
            mask = mask.point([round(value * opacity) for value in range(256)])
        if to is None or direction == "flat":
            layer = Image.new("RGBA", self.image.size, (*color, 0))
        else:
            ramp = Image.linear_gradient("L")
            if direction == "across":
                ramp = ramp.transpose(Image.Transpose.ROTATE_90)
            ramp = ramp.resize(self.image.size)
            layer = Image.composite(Image.new("RGB", ramp.size, to), Image.new("RGB", ramp.size, color), ramp)
            layer = layer.convert("RGBA")
        layer.putalpha(mask)
        self.image.alpha_composite(layer)

    def area(self, mask: Image.Image, *, opacity: float = 1.0) -> None:
        """Fills a mask with the palette's main colours, by the style's gradient."""
        palette = self.style.palette
        self.fill(mask, palette.main, palette.deep, direction=self.style.gradient, opacity=opacity)

    def plate(self, area: Area | None = None, *, radius: float | None = None) -> Image.Image:
        """The mask of a rectangle with corners of the style's roundness, or of `radius` pixels."""
        x0, y0, x1, y1 = area or (0, 0, self.width, self.height)
        mask, draw = self.mask()
        rounding = self.style.roundness * min(x1 - x0, y1 - y0) if radius is None else radius
        draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), rounding, fill=255)
        return mask

    def polygon(self, points: np.ndarray) -> Image.Image:
        """The mask of a polygon of points `[N, 2]` in pixels."""
        mask, draw = self.mask()
        draw.polygon(np.asarray(points, float).ravel().tolist(), fill=255)
        return mask

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
        """Writes one line as large as `area` `(x0, y0, x1, y1)` and `limit` allow, and returns the area of its ink.

        Args:
            align: "left", "middle" or "right" of the area; always halfway down.
            outline: colour around the letters.
            bold: instead of the style's.
            strike: whether to strike it through.
            limit: largest scale of the letters (see `fit`).
        """
        x0, y0, x1, y1 = area
        style = self.style
        rim = max(1, round(0.05 * (y1 - y0))) if outline is not None else 0
        look = self._look(bold)
        font = style.voice.font
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
        """The scale at which each of some texts fits an area: lines of a list are written at one size."""
        size = (max(2.0, area[2] - area[0]), max(2.0, area[3] - area[1]))
        return min(self.style.voice.font.fit(text, size, **self._look()) for text in texts)

    def rows(self, area: Area, weights: tuple[float, ...], gap: float = 0.12) -> list[Area]:
        """Splits an area into rows, heights by their weights, with gaps of a share of the mean row between them."""
        x0, y0, x1, y1 = area
        space = gap * (y1 - y0) / len(weights)
        unit = (y1 - y0 - space * (len(weights) - 1)) / sum(weights)
        rows = []
        for weight in weights:
            rows.append((x0, y0, x1, y0 + unit * weight))
            y0 += unit * weight + space
        return rows

    def _look(self, bold: float | None = None) -> dict[str, Any]:
        """How the font draws text; what it is by itself is not added to it."""
        style, font = self.style, self.style.voice.font
        return {
            "bold": 0.0 if font.is_bold else style.bold if bold is None else bold,
            "slant": style.slant and not font.is_slanted,
            "narrow": style.narrow,
        }

    def shaded(self) -> Image.Image:
        """The finished element, with a soft shadow if the style has shadows; a little larger then."""
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


def star_points(
    center: tuple[float, float], radius: float, inner: float, points: int, turn: float = 0.0
) -> np.ndarray:
    """Corners `[2 * points, 2]` of a star; `inner` is the radius of its dents as a share of `radius`."""
    angle = turn + np.arange(2 * points) * np.pi / points
    reach = radius * np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle)], axis=1)


def both(first: Image.Image, second: Image.Image) -> Image.Image:
    """Where two masks are set."""
    return ImageChops.darker(first, second)


def without(mask: Image.Image, hole: Image.Image) -> Image.Image:
    """Where the first mask is set and the second is not."""
    return ImageChops.subtract(mask, hole)


def compose(image: Image.Image, piece: Image.Image, x: int, y: int) -> None:
    """Lays an RGBA piece on an RGBA image, in place, its upper left corner at (x, y); what sticks out is cut off."""
    left, top = max(0, -x), max(0, -y)
    image.alpha_composite(piece.crop((left, top, piece.width, piece.height)), (max(0, x), max(0, y)))
