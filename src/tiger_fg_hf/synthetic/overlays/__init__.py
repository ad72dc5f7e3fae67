"""Promotional overlays, as marketplaces draw them on product photos.

`draw_overlays` draws the promotions of one shop, in its style and language, at the levels of `LEVELS`.
`draw_stickers` draws a few plain ones. Both paint with the shapes of `canvas`.

Text is written in Pillow's own font and in those of `typefaces`, in Latin, Cyrillic, Chinese, Japanese and Korean
letters. Machines with the same version of Pillow therefore draw the same pixels. `FontSet(folder)` adds the fonts of a
folder, and the languages that they have glyphs for. Missing glyphs are never drawn.
"""

from .fonts import FontSet, default_fonts
from .levels import (
    HEAVY_COUNT,
    HEAVY_COVERED,
    LEVELS,
    LIGHT_COUNT,
    LIGHT_COVERED,
    LIGHT_HIDDEN,
    Level,
    Promotion,
    covered_share,
    draw_overlays,
    hidden_share,
)
from .stickers import draw_stickers
from .voice import draw_title_words

__all__ = [
    "HEAVY_COUNT",
    "HEAVY_COVERED",
    "LEVELS",
    "LIGHT_COUNT",
    "LIGHT_COVERED",
    "LIGHT_HIDDEN",
    "FontSet",
    "Level",
    "Promotion",
    "covered_share",
    "default_fonts",
    "draw_overlays",
    "draw_stickers",
    "draw_title_words",
    "hidden_share",
]
