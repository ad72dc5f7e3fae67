"""Stickers: a few plain overlays in Pillow's font, as on the listings of the drawn catalog and on mosaics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..shapes import star
from ..streams import pick
from .canvas import Canvas, compose
from .layout import OVERSAMPLE, Spot, overlap
from .style import WHITE, Color
from .voice import SHOP_NAMES

_INKS = ((214, 40, 48), (238, 92, 34), (20, 108, 148), (32, 130, 82), (36, 36, 42), (196, 36, 108), (92, 58, 148))
_RED, _YELLOW = _INKS[0], (255, 214, 58)
_PRICE_INK = (32, 32, 36)
_BURSTS = ("-10%", "-20%", "-25%", "-30%", "-40%", "-50%", "SALE", "HOT", "2 FOR 1")
_RIBBONS = ("NEW", "SALE", "BEST", "TOP", "ECO", "LIMITED")
_BANNERS = ("FREE SHIPPING", "SUMMER SALE", "BUY 2 GET 1", "BESTSELLER", "LAST CHANCE", "24H DELIVERY", "NEW SEASON")
#: Only the first names, so that the drawn catalog's pictures do not change when a name is added.
_SHOPS = SHOP_NAMES[:6]


def draw_stickers(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    count: int = 2,
    box: Spot | None = None,
    max_hidden: float = 0.1,
) -> Image.Image:
    """Draw plain promotional overlays on a picture.

    Opaque stickers hide at most `max_hidden` of the product's box. A sticker without such a place is left out. A
    watermark is translucent and may cross the box.

    Args:
        image: The picture, of any mode; it is not changed.
        rng: Chooses stickers, words, colors and places.
        count: Number of opaque stickers to try, 0 to 5. Above 0, a ribbon, a border and a watermark may be added.
        box: `(x0, y0, x1, y1)` of the product in pixels, or None if stickers may hide anything.
        max_hidden: Largest share of `box` that opaque stickers hide together, in [0, 1].

    Returns:
        A new RGB picture of the same size.

    Raises:
        ValueError: If `count` or `max_hidden` is out of range.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> draw_stickers(Image.new("RGB", (64, 48), "gray"), np.random.default_rng(0), count=3).size
        (64, 48)
    """
    if not 0 <= count <= len(_STICKERS):
        raise ValueError(f"count: expected 0 to {len(_STICKERS)}, found {count}")
    if not 0.0 <= max_hidden <= 1.0:
        raise ValueError(f"max_hidden: expected a share in [0, 1], found {max_hidden}")
    if count == 0:
        return image.convert("RGB")
    width, height = image.size
    canvas = Canvas(width * OVERSAMPLE, height * OVERSAMPLE)
    clear = box if box is not None else (0, 0, 0, 0)
    # Keep this order of factors: another order rounds differently and could change the pictures.
    budget = max_hidden * (clear[2] - clear[0]) * (clear[3] - clear[1])
    taken: list[Spot] = []

    if rng.random() < 0.25 and (cover := _border_cover(clear, width, height)) <= budget:
        canvas.fill(canvas.edge(_border_width(canvas.width, canvas.height)), pick(rng, _INKS))
        budget -= cover
    names = list(_STICKERS)
    for name in (names[i] for i in rng.permutation(len(names))[:count]):
        paint, extent, ratio = _STICKERS[name]
        w = round((width if name == "banner" else min(width, height)) * rng.uniform(*extent))
        for spot in _spots(width, height, w, round(w * ratio), rng):
            hidden = overlap(spot, clear)
            if hidden <= budget and not any(overlap(spot, other) for other in taken):
                x0, y0, x1, y1 = (side * OVERSAMPLE for side in spot)
                paint(canvas, (x0, y0, x1, y1), rng)
                taken.append(spot)
                budget -= hidden
                break
    side = round(min(width, height) * 0.26)
    corner = (0, 0, side, side)
    if rng.random() < 0.35 and not any(overlap(corner, other) for other in (clear, *taken)):
        _ribbon(canvas, side * OVERSAMPLE, rng)
    base = image.convert("RGBA")
    if rng.random() < 0.3:
        base.alpha_composite(_watermark(width, height, rng))
    base.alpha_composite(canvas.image.reduce(OVERSAMPLE))
    return base.convert("RGB")


def _burst(canvas: Canvas, box: Spot, rng: np.random.Generator) -> None:
    center, side = _center(box), box[2] - box[0]
    points = star(center, side / 2, 0.84, 14, rng.uniform(0, 0.2))
    yellow = rng.random() < 0.35
    canvas.fill(canvas.polygon(points), _YELLOW if yellow else pick(rng, _INKS))
    _write(canvas, box, pick(rng, _BURSTS), _RED if yellow else WHITE, height=side * 0.32)


def _badge(canvas: Canvas, box: Spot, rng: np.random.Generator) -> None:
    center, side = _center(box), box[2] - box[0]
    line = max(1, round(side * 0.04))
    canvas.fill(canvas.disc(center, side / 2), pick(rng, _INKS))
    canvas.fill(canvas.ring(center, side / 2 - 2 * line, line), WHITE)
    room = (box[0] + 3 * line, box[1], box[2] - 3 * line, box[3])
    _write(canvas, room, pick(rng, _RIBBONS), WHITE, height=side * 0.27)


def _price(canvas: Canvas, box: Spot, rng: np.random.Generator) -> None:
    price = f"${int(rng.integers(4, 150))}.{pick(rng, ('99', '95', '49', '00'))}"
    tag = pick(rng, (*_INKS, _YELLOW, WHITE))
    canvas.fill(_plate(canvas, box), tag)
    ink = _PRICE_INK if tag in (_YELLOW, WHITE) else WHITE
    _write(canvas, box, price, ink, height=(box[3] - box[1]) * 0.62)


def _stars(canvas: Canvas, box: Spot, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    canvas.fill(_plate(canvas, box), WHITE)
    centers = [(x0 + (i + 0.75) * (x1 - x0) / 5.5, (y0 + y1) / 2) for i in range(5)]
    canvas.rating(centers, (y1 - y0) * 0.36, int(rng.integers(3, 6)))


def _banner(canvas: Canvas, box: Spot, rng: np.random.Generator) -> None:
    canvas.fill(_plate(canvas, box, rounding=0.0), pick(rng, _INKS))
    _write(canvas, box, pick(rng, _BANNERS), WHITE, height=(box[3] - box[1]) * 0.62)


#: Name -> (painter, range of the width, height over width); widths are shares of the picture's shorter side, and of
#: its width for a banner.
_STICKERS: dict[str, tuple[Callable[[Canvas, Spot, np.random.Generator], None], tuple[float, float], float]] = {
    "burst": (_burst, (0.2, 0.3), 1.0),
    "badge": (_badge, (0.16, 0.24), 1.0),
    "price": (_price, (0.24, 0.36), 0.36),
    "stars": (_stars, (0.24, 0.34), 0.24),
    "banner": (_banner, (1.0, 1.0), 0.1),
}


def _spots(width: int, height: int, w: int, h: int, rng: np.random.Generator) -> list[Spot]:
    """Return the corners and edges to try for a sticker, in random order."""
    gap = round(0.03 * width) if w < width else 0
    xs, ys = (gap, width - w - gap), (gap, height - h - gap)
    places = [(x, y) for x in xs for y in ys] + [((width - w) // 2, y) for y in ys]
    return [(places[i][0], places[i][1], places[i][0] + w, places[i][1] + h) for i in rng.permutation(len(places))]


def _center(box: Spot) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _plate(canvas: Canvas, box: Spot, *, rounding: float = 0.3) -> Image.Image:
    """Return the mask of a box, its right and lower edge included."""
    x0, y0, x1, y1 = box
    return canvas.plate((x0, y0, x1 + 1, y1 + 1), radius=(y1 - y0) * rounding)


def _write(canvas: Canvas, box: Spot, text: str, ink: Color | tuple[int, ...], *, height: float) -> None:
    """Write text in the middle of a box, at most `height` pixels high and no wider than the box where legible."""
    draw = ImageDraw.Draw(canvas.image)
    size = max(6.0, height)
    width = draw.textlength(text, font=ImageFont.load_default(size))
    size = max(6.0, min(size, size * (box[2] - box[0]) * 0.9 / max(width, 1.0)))
    draw.text(_center(box), text, font=ImageFont.load_default(size), fill=ink, anchor="mm")


def _border_width(width: int, height: int) -> int:
    return max(1, round(min(width, height) * 0.014))


def _border_cover(clear: Spot, width: int, height: int) -> int:
    """Return how much of a box the border hides, in pixels."""
    line = _border_width(width, height) + 1
    return overlap(clear, clear) - overlap(clear, (line, line, width - line, height - line))


def _ribbon(canvas: Canvas, side: int, rng: np.random.Generator) -> None:
    """Lay a diagonal ribbon over the top left corner."""
    strip = Canvas(int(side * 1.45), int(side * 0.26))
    strip.fill(strip.plate(), pick(rng, _INKS))
    box = (0, 0, strip.width, strip.height)
    _write(strip, box, pick(rng, _RIBBONS), WHITE, height=strip.height * 0.66)
    turned = strip.image.rotate(45, expand=True, resample=Image.Resampling.BICUBIC)
    offset = int(side * 0.44 - turned.width / 2)
    compose(canvas.image, turned, offset, offset)


def _watermark(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    mark = Canvas(width, height)
    name = pick(rng, _SHOPS)
    ink = (*WHITE, int(rng.integers(70, 110)))
    _write(mark, (0, 0, width, height), name, ink, height=height * rng.uniform(0.1, 0.16))
    return mark.image.rotate(float(rng.uniform(-35, 35)), resample=Image.Resampling.BICUBIC)
