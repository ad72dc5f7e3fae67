"""Promotional overlays, as marketplaces draw them on product photos: `draw_promotions` at the levels of `LEVELS`.

Fonts: Pillow's own and those in `typefaces`, so that all machines with one Pillow draw the same, in Latin, Cyrillic,
Chinese, Japanese and Korean letters; `FontSet(folder)` adds those of a folder, and with them the languages that they
have glyphs for. Missing glyphs are never drawn.
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
    draw_promotions,
    hidden_share,
)
from .words import draw_title_words

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
    "draw_promotions",
    "draw_title_words",
    "hidden_share",
]
