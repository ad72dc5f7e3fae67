"""Levels of promotions: which elements a picture gets, and how large they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from ..streams import pick
from . import bands, elements
from .fonts import FontSet, default_fonts
from .layout import OVERSAMPLE, Element, Spot, arrange, expected_cover, lay_on, overlap
from .style import Style, draw_style

Level = Literal["clean", "light", "heavy"]
LEVELS: tuple[Level, ...] = get_args(Level)

# Alphas from which a pixel counts as hidden, and as covered, which means hidden or tinted.
HIDDEN_ALPHA, COVERED_ALPHA = 128, 26
#: Largest shares of a light picture that are hidden, and that are covered.
LIGHT_HIDDEN, LIGHT_COVERED = 0.12, 0.2
#: Bounds of the covered share of a heavy picture.
HEAVY_COVERED = (0.25, 0.45)
# Target of the covered share. It grows with the number of elements, so that they need not be tiny.
_HEAVY_AIM = (0.27, 0.34)
_AIM_PER_ELEMENT = 0.025
#: Fewest and most elements of a level.
LIGHT_COUNT, HEAVY_COUNT = (1, 2), (4, 7)
# How many scales to try for a choice of elements: by their expected cover, then by their painted cover.
_EXPECTED_TRIES, _TRIES = 8, 3
_CLOSE = 0.02
_SCALES = (0.7, 1.6)
_MIN_SIDE, _MAX_ASPECT = 48, 2.0
# Height of a band along an edge, the share of the product's box that may lie in it, and structures with such a band.
_BAND, _MAX_IN_BAND = 0.27, 0.4
_FORMS_AT = {"top": ("top", "both"), "bottom": ("bar", "bottom", "both", "frame and bar")}


class Promotion(NamedTuple):
    """A picture with promotions.

    Attributes:
        image: The picture, RGB.
        alpha: How far each pixel is covered, `[H, W]` uint8.
        elements: Names of the elements, from bottom to top.
    """

    image: Image.Image
    alpha: np.ndarray
    elements: tuple[str, ...]

    @property
    def hidden(self) -> float:
        """Share of the picture that is hidden; see `hidden_share`."""
        return hidden_share(self.alpha)

    @property
    def covered(self) -> float:
        """Share of the picture that is covered; see `covered_share`."""
        return covered_share(self.alpha)


def hidden_share(alpha: np.ndarray) -> float:
    """Return the share of a picture that overlays of `alpha` `[H, W]` uint8 hide: where they are half opaque."""
    return float((alpha >= HIDDEN_ALPHA).mean())


def covered_share(alpha: np.ndarray) -> float:
    """Return the share of a picture that overlays of `alpha` `[H, W]` uint8 hide or visibly tint."""
    return float((alpha >= COVERED_ALPHA).mean())


class _Kind(NamedTuple):
    """A kind of small element.

    Attributes:
        paint: Paints it.
        width: Range of its width, as shares of the picture's shorter side.
        ratio: Range of its height over its width.
        anchors: Where it may go; see `Element`.
        solid: Approximate share of its box that it covers.
        light: How often the level "light" takes it, relative to the others.
        heavy: How often the level "heavy" takes it, relative to the others.
    """

    paint: Callable[[Style, np.random.Generator, int, int], Image.Image]
    width: tuple[float, float]
    ratio: tuple[float, float]
    anchors: tuple[str, ...]
    solid: float
    light: float
    heavy: float


_CORNERS = ("top left", "top right", "bottom left", "bottom right")
_LOWER = ("bottom left", "bottom right")
_KINDS: Mapping[str, _Kind] = {
    "burst": _Kind(elements.burst, (0.22, 0.32), (1.0, 1.0), (*_CORNERS, "left", "right"), 0.68, 2.0, 3.0),
    "seal": _Kind(elements.seal, (0.2, 0.26), (1.0, 1.0), (*_CORNERS, "left", "right"), 0.74, 2.0, 2.0),
    "ribbon": _Kind(elements.ribbon, (0.3, 0.4), (1.0, 1.0), ("flush top left",), 0.28, 1.5, 1.0),
    "right ribbon": _Kind(elements.right_ribbon, (0.3, 0.4), (1.0, 1.0), ("flush top right",), 0.28, 1.0, 1.0),
    "flag": _Kind(elements.flag, (0.14, 0.2), (1.1, 1.4), ("hang left", "hang right"), 0.92, 2.0, 1.5),
    "coupon": _Kind(elements.coupon, (0.32, 0.44), (0.38, 0.46), (*_CORNERS, "left", "right"), 0.95, 1.0, 2.0),
    "chip": _Kind(elements.chip, (0.36, 0.48), (0.18, 0.22), (*_CORNERS, "bottom", "top"), 0.93, 2.0, 2.0),
    "benefits": _Kind(elements.benefits, (0.38, 0.48), (0.5, 0.7), ("left", "right", *_LOWER), 0.9, 0.0, 2.5),
    "price": _Kind(elements.price_plate, (0.38, 0.5), (0.34, 0.44), (*_LOWER, "top right"), 0.9, 1.0, 2.5),
    "stars": _Kind(elements.stars, (0.3, 0.38), (0.2, 0.22), (*_CORNERS, "bottom"), 0.95, 1.5, 1.0),
    "logo": _Kind(elements.logo, (0.26, 0.36), (0.2, 0.26), ("top left", "top right", "top"), 0.55, 2.0, 2.0),
    "code": _Kind(elements.code, (0.15, 0.2), (1.1, 1.2), (*_LOWER, "right"), 1.0, 0.0, 1.0),
}


def draw_overlays(
    image: Image.Image,
    level: Level,
    rng: np.random.Generator,
    *,
    box: Sequence[float] | None = None,
    fonts: FontSet | None = None,
) -> Promotion:
    """Draw the promotional overlays of a level on a picture, all in the style of one shop.

    `"clean"` draws nothing. `"light"` draws one or two elements that hide at most 12% and cover at most 20% of the
    picture, and keep off the product where possible. `"heavy"` draws four to seven elements with a frame, a banner or
    a bar among them; they cover 25% to 45% of the picture and leave about half of the product clear, or more.

    Args:
        image: The picture, RGB, at least 48 pixels on each side, the longer side at most twice the shorter; it is not
            changed.
        level: The level.
        rng: The only source of randomness. Besides it, the overlays depend on the size of the picture and on `box`,
            not on the picture's pixels.
        box: `[x0, y0, x1, y1]` of the product in pixels; the middle of the picture if None.
        fonts: Fonts of the text. By default `default_fonts()`, with which every machine draws the same.

    Raises:
        ValueError: If the level is unknown, or the picture is too small or too long.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> promotion = draw_overlays(Image.new("RGB", (96, 96), "gray"), "heavy", np.random.default_rng(0))
        >>> 0.25 <= promotion.covered <= 0.45
        True
    """
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {', '.join(LEVELS)}, found {level!r}")
    if level == "clean":
        return Promotion(image, np.zeros((image.height, image.width), np.uint8), ())
    if min(image.size) < _MIN_SIDE or max(image.size) > _MAX_ASPECT * min(image.size):
        raise ValueError(
            f"image: expected at least {_MIN_SIDE} pixels a side, and sides of at most {_MAX_ASPECT:g} to 1, found "
            f"{image.width} x {image.height}"
        )
    if box is None:
        box = (0.2 * image.width, 0.2 * image.height, 0.8 * image.width, 0.8 * image.height)
    x0, y0, x1, y1 = (round(side * OVERSAMPLE) for side in box)
    size = (image.width * OVERSAMPLE, image.height * OVERSAMPLE)
    style = draw_style(fonts or default_fonts(), rng)
    draw = _light if level == "light" else _heavy
    layer, names = draw(style, rng, size, (x0, y0, x1, y1))
    promoted = image.convert("RGBA")
    promoted.alpha_composite(layer)
    return Promotion(promoted.convert("RGB"), np.asarray(layer.getchannel("A")), names)


def _light(
    style: Style, rng: np.random.Generator, size: tuple[int, int], product: Spot
) -> tuple[Image.Image, tuple[str, ...]]:
    count = int(rng.integers(LIGHT_COUNT[0], LIGHT_COUNT[1] + 1))
    plan = _small_elements(rng, size, {name: kind.light for name, kind in _KINDS.items()})
    extra = rng.random()
    if extra < 0.14:
        plan.insert(0, _watermark(rng, size, tiled=extra < 0.05))
        count = LIGHT_COUNT[1]  # a white watermark alone would be invisible on white
    elif extra < 0.24:
        plan.insert(0, _frame(rng, size, (0.008, 0.016)))
    scale = rng.uniform(0.75, 1.0)
    while True:
        placed = arrange(plan, size, product, scale=scale, count=count, aside=True)
        layer = lay_on(placed, style, size).reduce(OVERSAMPLE)
        alpha = np.asarray(layer.getchannel("A"))
        if hidden_share(alpha) <= LIGHT_HIDDEN and covered_share(alpha) <= LIGHT_COVERED:
            return layer, tuple(element.name for element, _ in placed)
        scale *= 0.85
        # Elements that do not scale are dropped, so that the loop ends.
        plan = [element for element in plan if element.scales != "none"]


def _heavy(
    style: Style, rng: np.random.Generator, size: tuple[int, int], product: Spot
) -> tuple[Image.Image, tuple[str, ...]]:
    structure = _structure(rng, size, product)
    count = int(rng.integers(max(HEAVY_COUNT[0], len(structure) + 2), HEAVY_COUNT[1] + 1))
    # All kinds are candidates: a kind without a spot is replaced by the next one.
    small = _small_elements(rng, size, {name: kind.heavy for name, kind in _KINDS.items()})
    aim = rng.uniform(*_HEAVY_AIM) + _AIM_PER_ELEMENT * (count - HEAVY_COUNT[0])

    found: list[tuple[tuple[bool, float], Image.Image, tuple[str, ...]]] = []
    for _ in small:
        arranged = partial(arrange, [*structure, *small], size, product, count=count, aside=False)
        scale = 1.0
        for _ in range(_EXPECTED_TRIES):
            expected = expected_cover(arranged(scale=scale), size)
            if abs(expected - aim) < _CLOSE:
                break
            scale = float(np.clip(scale * np.sqrt(aim / expected), *_SCALES))
        for _ in range(_TRIES):
            placed = arranged(scale=scale)
            layer = lay_on(placed, style, size).reduce(OVERSAMPLE)
            covered = covered_share(np.asarray(layer.getchannel("A")))
            too_few = len(placed) < HEAVY_COUNT[0]
            found.append(((too_few, abs(covered - aim)), layer, tuple(element.name for element, _ in placed)))
            if HEAVY_COVERED[0] <= covered <= HEAVY_COVERED[1] and not too_few:
                return layer, found[-1][2]
            scale *= float(np.clip(np.sqrt(aim / max(covered, 0.01)), 0.8, 1.25))
        # These elements found no arrangement: let others come first.
        small = [*small[1:], small[0]]
    return min(found, key=lambda one: one[0])[1:]


def _structure(rng: np.random.Generator, size: tuple[int, int], product: Spot) -> list[Element]:
    """Draw the large elements of a heavy picture: frame, banners or deal bar, sometimes a strip or a watermark."""
    width, height = size
    forms: tuple[str, ...] = ("bar", "bar", "bottom", "bottom", "top", "both", "frame", "frame and bar")
    # A band would hide a product that lies along its edge.
    band = round(_BAND * height)
    for edge, spot in (("top", (0, 0, width, band)), ("bottom", (0, height - band, width, height))):
        if overlap(spot, product) > _MAX_IN_BAND * overlap(product, product):
            forms = tuple(form for form in forms if form not in _FORMS_AT[edge])
    form = pick(rng, forms)
    plan = []
    extra = rng.random()
    if extra < 0.28:
        plan.append(_watermark(rng, size, tiled=extra < 0.14))
    if form.startswith("frame"):
        plan.append(_frame(rng, size, (0.022, 0.04)))
        if rng.random() < 0.5:
            extent = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.08, 0.11))
            plan.append(Element("tab", bands.tab, _seed(rng), extent, ("flush top",), 0.9))
    if form in ("bar", "frame and bar"):
        extent = (float(width), height * rng.uniform(0.15, 0.21))
        plan.append(Element("deal bar", bands.deal_bar, _seed(rng), extent, ("flush bottom",), 0.85, "height"))
    for edge in ("top", "bottom"):
        if form in (edge, "both"):
            paint = partial(bands.banner, top=edge == "top")
            extent = (float(width), height * rng.uniform(0.1, 0.16))
            plan.append(Element("banner", paint, _seed(rng), extent, (f"flush {edge}",), 0.9, "height"))
    if 0.28 < extra < 0.4:
        edges = ("flush left", "flush right") if rng.random() < 0.5 else ("flush right", "flush left")
        extent = (min(size) * rng.uniform(0.09, 0.13), height * 0.62)
        plan.append(Element("strip", bands.strip, _seed(rng), extent, edges))
    return plan


def _small_elements(rng: np.random.Generator, size: tuple[int, int], weights: Mapping[str, float]) -> list[Element]:
    """Return one element of every kind that has a weight; those of larger weights tend to come first."""
    names = [name for name, weight in weights.items() if weight]
    shares = np.array([weights[name] for name in names])
    drawn = []
    for index in rng.choice(len(names), len(names), replace=False, p=shares / shares.sum()):
        kind = _KINDS[names[index]]
        width = min(size) * rng.uniform(*kind.width)
        anchors = tuple(kind.anchors[place] for place in rng.permutation(len(kind.anchors)))
        extent = (width, width * rng.uniform(*kind.ratio))
        slide = rng.uniform(0.25, 0.75)
        drawn.append(Element(names[index], kind.paint, _seed(rng), extent, anchors, kind.solid, slide=slide))
    return drawn


def _frame(rng: np.random.Generator, size: tuple[int, int], thickness: tuple[float, float]) -> Element:
    """Return a frame whose thickness is drawn from a range of shares of the shorter side."""
    line = max(2.0, min(size) * rng.uniform(*thickness))
    solid = 1 - (size[0] - 2 * line) * (size[1] - 2 * line) / (size[0] * size[1])
    paint = partial(bands.frame, thickness=line)
    return Element("frame", paint, _seed(rng), (float(size[0]), float(size[1])), ("flush",), solid, "none")


def _watermark(rng: np.random.Generator, size: tuple[int, int], *, tiled: bool) -> Element:
    paint = partial(bands.watermark, tiled=tiled)
    extent = (float(size[0]), float(size[1]))
    return Element("watermark", paint, _seed(rng), extent, ("flush",), 0.07 if tiled else 0.04, "none")


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))
