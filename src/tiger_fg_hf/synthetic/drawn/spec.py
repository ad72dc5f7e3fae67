"""The look of a product, and the categories that looks belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .painter import Painter, Surface
from .palette import COLORS, Rgb

#: Materials that come in certain colors only.
MATERIAL_COLORS: dict[str, tuple[str, ...]] = {
    "wood": ("tan", "brown", "cream", "black"),
    "steel": ("silver", "grey", "black", "navy", "red", "teal", "cream"),
    "terracotta": ("coral", "tan", "brown", "cream", "burgundy"),
    "denim": ("blue", "navy", "sky blue", "black", "grey"),
    "glass": ("sky blue", "mint", "green", "orange", "pink", "purple", "brown", "teal", "yellow"),
}


@dataclass(frozen=True)
class Look:
    """Everything that the pixels of a product depend on, except the view.

    Attributes:
        shape: Shape word of the category, or "" if it has only one shape.
        detail: Detail word of the category, or "" if it has none.
        params: Continuous shape parameters, each in [0, 1].
        color: Main color.
        material: Main material, a key of `FINISHES`.
        accent: Color of the secondary parts.
        pattern: A key of `PATTERNS`, or "solid".
        pattern_color: Second color of the pattern.
        pattern_scale: Periods of the pattern per product unit.
        mark: Printed mark, a key of `MARKS`, or "" for none.
        mark_color: Color of the mark.
        noise_seed: Seed of the fine texture and the cloth folds.
    """

    shape: str
    detail: str
    params: Mapping[str, float]
    color: Rgb
    material: str
    accent: Rgb
    pattern: str
    pattern_color: Rgb
    pattern_scale: float
    mark: str
    mark_color: Rgb
    noise_seed: int

    @property
    def body(self) -> Surface:
        """Surface of the main part."""
        return Surface(self.color, self.material, self.pattern, self.pattern_color, self.pattern_scale)

    @property
    def plain(self) -> Surface:
        """Surface of the main part, without its pattern."""
        return Surface(self.color, self.material)

    def trim(self, material: str) -> Surface:
        """Surface of a secondary part."""
        return Surface(self.accent, material)

    def span(self, name: str, low: float, high: float) -> float:
        """Map shape parameter `name` to [low, high]."""
        return low + (high - low) * self.params[name]


#: Draws the parts of a product on a painter.
Drawer = Callable[[Painter, Look], None]

#: Groups of patterns that categories name.
PATTERN_GROUPS: dict[str, tuple[str, ...]] = {
    "cloth": ("striped", "pinstriped", "polka dot", "checked", "zigzag", "floral", "diagonal striped", "argyle"),
    "hard": ("striped", "polka dot", "zigzag", "speckled", "wavy", "checkerboard", "floral"),
}


@dataclass(frozen=True)
class Category:
    """One product category.

    Attributes:
        name: Category name, as in the `category` column.
        draw: Draws a look of this category on a painter.
        materials: Materials of the main part.
        params: Names of the continuous shape parameters.
        nouns: Words for it in titles.
        shapes: Shape words; each is drawn differently.
        details: Detail words; each is drawn differently.
        accent: Name of the part that has the accent color, or "" where none is visible.
        accents: Names of the colors that an accent may have.
        patterns: Patterns of the main part besides "solid".
        pattern_scale: Range of the pattern's periods per product unit.
        markable: Whether it can carry a printed mark.
        colors: Names of the colors of the main part.
        lies_flat: Whether it is photographed lying, from above; else it stands on a surface.
    """

    name: str
    draw: Drawer
    materials: tuple[str, ...]
    params: tuple[str, ...]
    nouns: tuple[str, ...]
    shapes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    accent: str = ""
    accents: tuple[str, ...] = ("black", "white", "tan", "brown", "red", "navy", "grey", "yellow", "teal", "pink")
    patterns: tuple[str, ...] = ()
    pattern_scale: tuple[float, float] = (8.0, 13.0)
    markable: bool = True
    colors: tuple[str, ...] = tuple(COLORS)
    lies_flat: bool = False

    @classmethod
    def from_table(cls, name: str, draw: Drawer, table: Mapping[str, Any]) -> Category:
        """Return a category from its table in `categories.toml`, where lists stand for tuples."""
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
        if isinstance(values.get("patterns"), str):
            values["patterns"] = PATTERN_GROUPS[values["patterns"]]
        return cls(name, draw, **values)
