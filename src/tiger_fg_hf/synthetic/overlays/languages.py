"""The phrases of promotions in the languages of shops, as `languages.toml` holds them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Phrases = tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The phrases of one language, by where they stand.

    Attributes:
        slogans: On banners.
        shouts: On ribbons, flags and bursts.
        delivery: Next to a van.
        qualities: On seals and in lists with ticks.
        only: Before a price.
        was: Before the price that it replaces.
        coupon: Names of a coupon.
        scan: Under a code.
        price: Formats of a price, of `whole` and `cents`.
        round_price: Formats of a price without cents.
        title: Words that sellers add to titles.
    """

    slogans: Phrases
    shouts: Phrases
    delivery: Phrases
    qualities: Phrases
    only: Phrases
    was: Phrases
    coupon: Phrases
    scan: Phrases
    price: Phrases
    round_price: Phrases
    title: Phrases


#: Every language by its ISO 639-1 code, in a fixed order.
LANGUAGES: Mapping[str, Language] = {
    code: Language(**{part: tuple(phrases) for part, phrases in table.items()})
    for code, table in tomllib.loads(Path(__file__).with_name("languages.toml").read_text(encoding="utf-8")).items()
}
