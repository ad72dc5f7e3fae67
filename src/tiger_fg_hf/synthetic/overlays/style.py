"""How one shop's promotions look: colors, letters, corners and shadows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..streams import pick
from .fonts import FontSet
from .voice import Voice, draw_voice

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
DARK: Color = (30, 30, 34)
#: Full and empty stars of a rating.
GOLD: Color = (250, 176, 28)
SILVER: Color = (214, 214, 214)
# Width of strokes as a share of the height of letters: Pillow's font is a regular one, and shops use bold letters.
_WEIGHTS = (0.021, 0.032, 0.042)


class Palette(NamedTuple):
    """Colors that go together.

    Attributes:
        main: Color of large areas.
        deep: Darker end of their gradient.
        ink: Color of text on them.
        accent: Color that stands out from them.
        accent_ink: Color of text on `accent`.
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
    """The look that all elements of a picture share.

    Attributes:
        palette: Its colors.
        voice: Its language and font.
        bold: Width of strokes, as a share of the height of letters.
        slant: Whether letters lean.
        narrow: Width of letters, as a share of the font's width.
        roundness: Radius of corners, as a share of an element's height.
        gradient: How areas run from `main` to `deep`: "flat", "down" or "across".
        shadow: Whether elements cast a soft shadow.
        outline: Whether loud words have an outline.
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
    """Draw the style of a shop."""
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
