"""What one shop writes: its language, its font, its prices and its name."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np

from ..streams import pick
from .fonts import Font, FontSet
from .languages import LANGUAGES, Language

#: Names of shops, Latin in every country; none is a real shop's.
SHOP_NAMES = (
    "shopmart",
    "dealbox",
    "casa&co",
    "VELORA",
    "bazaar24",
    "marketly",
    "LUMINO",
    "KIRA home",
    "Nordvik",
    "UrbanNest",
    "TOPWAY",
    "Bellamo",
    "Fenix Store",
    "ZENITH+",
    "Oakline",
    "MIRAVO",
    "trendy.shop",
    "FUNLY",
    "Gotham Goods",
    "hi!store",
)
_SHOP_SUFFIXES = ("", "", " STORE", " Official", ".com", " shop")
# Western shops are the most frequent, so that Latin letters prevail even where the fonts can draw all.
_WEIGHTS = {"en": 5.0, "zh": 4.0}


class Voice:
    """One shop's language and font.

    Args:
        language: Those phrases of a language that the font can draw.
        font: Draws all of `language` and Latin letters.
    """

    def __init__(self, language: Language, font: Font):
        self.language, self.font = language, font

    def price(self, rng: np.random.Generator) -> str:
        """Draw a price, as the shop writes it."""
        whole = int(np.exp(rng.uniform(np.log(3), np.log(400))))
        return pick(rng, self.language.price).format(whole=whole, cents=pick(rng, ("99", "95", "90", "49", "00")))

    def round_price(self, rng: np.random.Generator) -> str:
        """Draw a price without cents."""
        return pick(rng, self.language.round_price).format(whole=int(rng.choice((2, 3, 5, 8, 10, 15, 20, 30, 50))))

    def discount(self, rng: np.random.Generator) -> str:
        """Draw a discount such as "-30%"."""
        return pick(rng, ("-{}%", "-{}%", "{}%", "{}% OFF")).format(
            int(rng.choice((10, 15, 20, 25, 30, 40, 50, 60, 70)))
        )

    def shop(self, rng: np.random.Generator) -> str:
        """Draw the name of a shop."""
        return pick(rng, SHOP_NAMES) + pick(rng, _SHOP_SUFFIXES)


def draw_voice(fonts: FontSet, rng: np.random.Generator) -> Voice:
    """Draw a language that one of the fonts can write, and then one of the fonts that can."""
    voices = _voices(fonts)
    return pick(rng, voices[_draw_language(list(voices), rng)])


def draw_title_words(count: int, rng: np.random.Generator) -> list[str]:
    """Draw up to `count` different words that sellers add to titles: of one language, sometimes mixed with English."""
    language = LANGUAGES[_draw_language(list(LANGUAGES), rng)]
    words = list(dict.fromkeys((*language.title, *pick(rng, ((), LANGUAGES["en"].title)))))
    return [words[index] for index in rng.permutation(len(words))[:count]]


def _draw_language(names: list[str], rng: np.random.Generator) -> str:
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


@lru_cache(maxsize=8)
def _voices(fonts: FontSet) -> dict[str, list[Voice]]:
    """Pair each language with every font that draws at least one phrase of each kind."""
    voices: dict[str, list[Voice]] = {}
    for name, language in LANGUAGES.items():
        for font in fonts.fonts:
            drawable = {
                field.name: tuple(filter(font.covers, getattr(language, field.name)))
                for field in fields(Language)
                if field.name != "title"  # titles are text and need no font
            }
            if all(drawable.values()) and font.covers("".join(SHOP_NAMES) + "0123456789-%$.,+{}"):
                voices.setdefault(name, []).append(Voice(replace(language, **drawable), font))
    return voices
