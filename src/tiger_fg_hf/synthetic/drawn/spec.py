"""What a product looks like, and what a category allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .painter import Painter, Surface
from .palette import COLORS, Rgb

if TYPE_CHECKING:
    Drawer = Callable[[Painter, "Look"], None]

#: Materials that come in their own colours only.
MATERIAL_COLORS: dict[str, tuple[str, ...]] = {
    "wood": ("tan", "brown", "cream", "black"),
    "steel": ("silver", "grey", "black", "navy", "red", "teal", "cream"),
    "terracotta": ("coral", "tan", "brown", "cream", "burgundy"),
    "denim": ("blue", "navy", "sky blue", "black", "grey"),
    "glass": ("sky blue", "mint", "green", "orange", "pink", "purple", "brown", "teal", "yellow"),
}


@dataclass(frozen=True)
class Look:
    """Everything the pixels of a product depend on, apart from the view.

    Attributes:
        shape: Shape word of the category ("" where it has only one).
        detail: Detail word of the category ("" where it has none).
        params: Continuous shape parameters, each in [0, 1].
        color: Main colour.
        material: Main material, a key of `FINISHES`.
        accent: Colour of the secondary parts.
        pattern: A key of `PATTERNS`, or "solid".
        pattern_color: Second colour of the pattern.
        pattern_scale: Periods of the pattern per product unit.
        mark: Printed mark, a key of `MARKS`, or "" for none.
        mark_color: Colour of the mark.
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
        """Return shape parameter ``name`` mapped onto [low, high]."""
        return low + (high - low) * self.params[name]


CLOTH_PATTERNS = ("striped", "pinstriped", "polka dot", "checked", "zigzag", "floral", "diagonal striped", "argyle")
HARD_PATTERNS = ("striped", "polka dot", "zigzag", "speckled", "wavy", "checkerboard", "floral")


@dataclass(frozen=True)
class Category:
    """One product category.

    Attributes:
        name: Category name, as in the ``category`` column.
        draw: Draws a look of this category on a painter.
        materials: Materials of the main part.
        params: Names of the continuous shape parameters.
        nouns: Words for it in titles.
        shapes: Shape words; each is drawn differently.
        details: Detail words; each is drawn differently.
        accent: Name of the part that has the accent colour ("" where none is visible).
        accents: Names of the colours an accent may have.
        patterns: Patterns of the main part besides "solid".
        pattern_scale: Range of the pattern's periods per product unit.
        markable: Whether it can carry a printed mark.
        colors: Names of the colours of the main part.
        lies_flat: Photographed lying, from above, with a shadow all round; else it stands on a surface.
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
    colors: tuple[str, ...] = field(default_factory=lambda: tuple(COLORS))
    lies_flat: bool = False
