"""Layout of elements on a picture: free spots at corners and edges, off the product or over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from .canvas import compose
from .style import Style

Spot = tuple[int, int, int, int]

#: Overlays are painted this many times larger than the picture and reduced, for smooth edges.
OVERSAMPLE = 2

# Distance from the edges, as a share of the shorter side.
_GAP = 0.025
# A spot may overlap other elements by up to this share of itself.
_MAX_OVERLAP = 0.06
# Small elements together hide up to this share of the product's box, so that it stays recognizable.
_MAX_ON_PRODUCT = 0.45
# Sizes at which an element is tried, until one has a free spot.
_SHRINKS = (1.0, 0.85, 0.72)


@dataclass(frozen=True)
class Element:
    """An element to lay on a picture.

    Attributes:
        name: Its kind.
        paint: Paints it from a style, a generator, a width and a height.
        seed: Seed of that generator.
        extent: Its width and height in pixels, before they are scaled.
        anchors: Where it may go, the preferred place first: "top left", "top", ..., "left"; with "flush" in front
            without a gap to the edges. "hang left" and "hang right" hang from the upper edge.
        solid: Approximate share of its spot that it covers.
        scales: What is scaled: "both" sides, only the "height", or "none". The last kind lies under or around all
            others, which may overlap it.
        slide: Where along its edge it stands at "left" or "right", from 0 to 1.
    """

    name: str
    paint: Callable[[Style, np.random.Generator, int, int], Image.Image]
    seed: int
    extent: tuple[float, float]
    anchors: tuple[str, ...]
    solid: float = 1.0
    scales: str = "both"
    slide: float = 0.5

    def sized(self, scale: float) -> tuple[int, int]:
        """Return its width and height at a scale."""
        width, height = self.extent
        return (
            round(width * (scale if self.scales == "both" else 1.0)),
            round(height * (1.0 if self.scales == "none" else scale)),
        )


class Placed(NamedTuple):
    """An element and its spot `(x0, y0, x1, y1)` in pixels."""

    element: Element
    spot: Spot


def arrange(
    elements: Sequence[Element],
    size: tuple[int, int],
    product: Spot,
    *,
    scale: float,
    count: int,
    aside: bool,
) -> list[Placed]:
    """Find spots for elements in turn until `count` have one; an element without a free spot is left out.

    Args:
        elements: The elements, the preferred ones first.
        size: Width and height of the picture in pixels.
        product: Box of the product.
        scale: Scale of all elements.
        count: How many elements to place.
        aside: Whether elements keep off the product where possible. Otherwise every other element goes where it hides
            most of the product and the rest to their preferred places, within 45% of the product's box together.
    """
    placed: list[Placed] = []
    for element in elements:
        if len(placed) == count:
            break
        taken = [other.spot for other in placed if other.element.scales != "none"]
        for shrink in (1.0,) if element.scales == "none" else _SHRINKS:
            spots = _spots(element, element.sized(scale * shrink), size)
            if element.scales != "none":
                spots = [spot for spot in spots if _is_free(spot, taken)]
            if element.scales == "both":
                room = _MAX_ON_PRODUCT * overlap(product, product) - sum(overlap(spot, product) for spot in taken)
                spots = [spot for spot in spots if overlap(spot, product) <= max(room, 0)]
            if spots:
                if aside:
                    spots.sort(key=lambda spot: overlap(spot, product))
                elif len(placed) % 2:
                    spots.sort(key=lambda spot: -overlap(spot, product))
                placed.append(Placed(element, spots[0]))
                break
    return placed


def expected_cover(placed: Sequence[Placed], size: tuple[int, int]) -> float:
    """Estimate the share of a picture that elements cover, before any is painted."""
    areas = [overlap(spot, spot) * element.solid for element, spot in placed]
    return sum(areas) / (size[0] * size[1])


def lay_on(placed: Sequence[Placed], style: Style, size: tuple[int, int]) -> Image.Image:
    """Paint elements at their spots on a transparent RGBA picture of `size`."""
    layer = Image.new("RGBA", size)
    for element, (x0, y0, x1, y1) in placed:
        piece = element.paint(style, np.random.default_rng(element.seed), x1 - x0, y1 - y0)
        # A shadow makes a piece a little larger all around.
        x, y = x0 - (piece.width - (x1 - x0)) // 2, y0 - (piece.height - (y1 - y0)) // 2
        compose(layer, piece, x, y)
    return layer


def overlap(first: Spot, second: Spot) -> int:
    """Return the area that two boxes share, in pixels."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)


def _is_free(spot: Spot, taken: Sequence[Spot]) -> bool:
    return sum(overlap(spot, other) for other in taken) <= _MAX_OVERLAP * overlap(spot, spot)


def _spots(element: Element, extent: tuple[int, int], size: tuple[int, int]) -> list[Spot]:
    """Return the spots of an element's anchors; one with a gap at the top or bottom gets a second spot further in."""
    width, height = extent
    if width > size[0] or height > size[1]:
        return []
    spots = []
    for anchor in element.anchors:
        gap = 0 if anchor.startswith("flush") else round(_GAP * min(size))
        right, bottom = size[0] - width - gap, size[1] - height - gap
        x, y = (size[0] - width) // 2, (size[1] - height) // 2
        words = anchor.split()
        if "left" in words:
            x = gap
        elif "right" in words:
            x = right
        if "top" in words:
            y = gap
        elif "bottom" in words:
            y = bottom
        elif "hang" in words:
            y = 0
            x = x + (gap if "left" in words else -gap)
        elif words in (["left"], ["right"]):
            y = round(gap + element.slide * (bottom - gap))
        spots.append((x, y))
        if gap and "hang" not in words and ("top" in words or "bottom" in words):
            # Above a bar or below a banner.
            step = round(0.2 * size[1])
            spots.append((x, y + (step if "top" in words else -step)))
    return [
        (x, y, x + width, y + height)
        for x, y in spots
        if x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]
    ]
