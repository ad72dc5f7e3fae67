"""Promotional overlays of a shop: bursts, ribbons, banners, badges, watermarks and borders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .streams import pick

Box = tuple[int, int, int, int]

#: Overlays are drawn this many times larger and reduced, for smooth edges.
_OVERSAMPLE = 2
_INKS = ((214, 40, 48), (238, 92, 34), (20, 108, 148), (32, 130, 82), (36, 36, 42), (196, 36, 108), (92, 58, 148))
_YELLOW, _WHITE = (255, 214, 58), (255, 255, 255)
_BURSTS = ("-10%", "-20%", "-25%", "-30%", "-40%", "-50%", "SALE", "HOT", "2 FOR 1")
_RIBBONS = ("NEW", "SALE", "BEST", "TOP", "ECO", "LIMITED")
_BANNERS = ("FREE SHIPPING", "SUMMER SALE", "BUY 2 GET 1", "BESTSELLER", "LAST CHANCE", "24H DELIVERY", "NEW SEASON")
_SHOPS = ("shopmart", "dealbox", "casa&co", "VELORA", "bazaar24", "marketly")


def _text(draw: ImageDraw.ImageDraw, box, text: str, fill, *, height: float) -> None:
    """Write ``text`` centred in ``box``, at most ``height`` pixels high and never wider than the box."""
    size = max(6.0, height)
    width = draw.textlength(text, font=ImageFont.load_default(size))
    size = max(6.0, min(size, size * (box[2] - box[0]) * 0.9 / max(width, 1.0)))
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(centre, text, font=ImageFont.load_default(size), fill=fill, anchor="mm")


def _burst(draw: ImageDraw.ImageDraw, box, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    radius = np.where(np.arange(28) % 2 == 0, 1.0, 0.84) * (x1 - x0) / 2
    angle = np.arange(28) * np.pi / 14 + rng.uniform(0, 0.2)
    points = np.stack([(x0 + x1) / 2 + radius * np.cos(angle), (y0 + y1) / 2 + radius * np.sin(angle)], 1)
    yellow = rng.random() < 0.35
    draw.polygon(points.ravel().tolist(), fill=_YELLOW if yellow else pick(rng, _INKS))
    _text(draw, (x0, y0, x1, y1), pick(rng, _BURSTS), _INKS[0] if yellow else _WHITE, height=(x1 - x0) * 0.32)


def _badge(draw: ImageDraw.ImageDraw, box, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    ink = pick(rng, _INKS)
    line = max(1, round((x1 - x0) * 0.04))
    draw.ellipse(box, fill=ink)
    draw.ellipse((x0 + 2 * line, y0 + 2 * line, x1 - 2 * line, y1 - 2 * line), outline=_WHITE, width=line)
    _text(draw, (x0 + 3 * line, y0, x1 - 3 * line, y1), pick(rng, _RIBBONS), _WHITE, height=(x1 - x0) * 0.27)


def _price(draw: ImageDraw.ImageDraw, box, rng: np.random.Generator) -> None:
    y0, y1 = box[1], box[3]
    price = f"${int(rng.integers(4, 150))}.{pick(rng, ('99', '95', '49', '00'))}"
    tag = pick(rng, (*_INKS, _YELLOW, _WHITE))
    draw.rounded_rectangle(box, radius=(y1 - y0) * 0.3, fill=tag)
    ink = (32, 32, 36) if tag in (_YELLOW, _WHITE) else _WHITE
    _text(draw, box, price, ink, height=(y1 - y0) * 0.62)


def _stars(draw: ImageDraw.ImageDraw, box, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    draw.rounded_rectangle(box, radius=(y1 - y0) * 0.3, fill=_WHITE)
    angle = -np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42) * (y1 - y0) * 0.36
    full = int(rng.integers(3, 6))
    for i in range(5):
        cx = x0 + (i + 0.75) * (x1 - x0) / 5.5
        points = np.stack([cx + radius * np.cos(angle), (y0 + y1) / 2 + radius * np.sin(angle)], 1)
        draw.polygon(points.ravel().tolist(), fill=(250, 176, 28) if i < full else (214, 214, 214))


def _banner(draw: ImageDraw.ImageDraw, box, rng: np.random.Generator) -> None:
    draw.rectangle(box, fill=pick(rng, _INKS))
    _text(draw, box, pick(rng, _BANNERS), _WHITE, height=(box[3] - box[1]) * 0.62)


#: Overlay -> (painter, range of its width, height over width), sizes as fractions of the picture's side.
_PIECES: dict[str, tuple[Callable[..., None], tuple[float, float], float]] = {
    "burst": (_burst, (0.2, 0.3), 1.0),
    "badge": (_badge, (0.16, 0.24), 1.0),
    "price": (_price, (0.24, 0.36), 0.36),
    "stars": (_stars, (0.24, 0.34), 0.24),
    "banner": (_banner, (1.0, 1.0), 0.1),
}


def _spots(width: int, height: int, w: int, h: int, rng: np.random.Generator) -> list[Box]:
    """Return the places to try for a piece, in random order: corners and edges, where shops put them."""
    gap = round(0.03 * width) if w < width else 0
    xs, ys = (gap, width - w - gap), (gap, height - h - gap)
    places = [(x, y) for x in xs for y in ys] + [((width - w) // 2, y) for y in ys]
    return [(places[i][0], places[i][1], places[i][0] + w, places[i][1] + h) for i in rng.permutation(len(places))]


def _overlap(a: Box, b: Box) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def draw_overlays(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    keep_clear_box: tuple[int, int, int, int] | None = None,
    level: int = 2,
    max_hidden: float = 0.1,
) -> Image.Image:
    """Draw promotional overlays on a picture.

    Opaque pieces hide at most ``max_hidden`` of ``keep_clear_box``; a piece that finds no such place is left out. A
    watermark is translucent and may cross the box.

    Args:
        image: The picture, any mode; it is not changed.
        rng: Chooses pieces, words, colours and places.
        keep_clear_box: ``(x0, y0, x1, y1)`` in pixels, or None for no such box.
        level: Number of opaque pieces to try, 0 to 5; above 0, a ribbon, a border and a watermark may be added.
        max_hidden: Largest share of ``keep_clear_box`` that opaque pieces hide together, in [0, 1].

    Returns:
        A new RGB picture of the same size.

    Raises:
        ValueError: ``level`` is not in 0..5, or ``max_hidden`` not in [0, 1].
    """
    if not 0 <= level <= 5:
        raise ValueError(f"level must be in 0..5, got {level}")
    if not 0.0 <= max_hidden <= 1.0:
        raise ValueError(f"max_hidden must be in [0, 1], got {max_hidden}")
    if level == 0:
        return image.convert("RGB")
    width, height = image.size
    k = _OVERSAMPLE
    layer = Image.new("RGBA", (width * k, height * k))
    draw = ImageDraw.Draw(layer)
    clear: Box = keep_clear_box if keep_clear_box is not None else (0, 0, 0, 0)
    budget = max_hidden * (clear[2] - clear[0]) * (clear[3] - clear[1])
    taken: list[Box] = []

    if rng.random() < 0.25 and (cover := _border_cover(clear, width, height)) <= budget:
        _border(draw, width * k, height * k, rng)
        budget -= cover
    names = list(_PIECES)
    for name in (names[i] for i in rng.permutation(len(names))[:level]):
        painter, extent, ratio = _PIECES[name]
        side = min(width, height) if name != "banner" else width
        w = round(side * rng.uniform(*extent))
        h = round(w * ratio)
        for spot in _spots(width, height, w, h, rng):
            hidden = _overlap(spot, clear)
            if hidden <= budget and not any(_overlap(spot, other) for other in taken):
                painter(draw, tuple(v * k for v in spot), rng)
                taken.append(spot)
                budget -= hidden
                break
    ribbon_side = round(min(width, height) * 0.26)
    corner = (0, 0, ribbon_side, ribbon_side)
    if rng.random() < 0.35 and not _overlap(corner, clear) and not any(_overlap(corner, other) for other in taken):
        _ribbon(layer, ribbon_side * k, rng)
    base = image.convert("RGBA")
    if rng.random() < 0.3:
        base.alpha_composite(_watermark(width, height, rng))
    base.alpha_composite(layer.reduce(k))
    return base.convert("RGB")


def _border_width(width: int, height: int) -> int:
    return max(1, round(min(width, height) * 0.014))


def _border(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    line = _border_width(width, height)
    draw.rectangle((0, 0, width - 1, height - 1), outline=pick(rng, _INKS), width=line)


def _border_cover(clear, width: int, height: int) -> int:
    line = _border_width(width, height) + 1
    inner = _overlap(clear, (line, line, width - line, height - line))
    return (clear[2] - clear[0]) * (clear[3] - clear[1]) - inner


def _ribbon(layer: Image.Image, side: int, rng: np.random.Generator) -> None:
    """Draw a diagonal ribbon over the top left corner."""
    length, thick = int(side * 1.45), int(side * 0.26)
    strip = Image.new("RGBA", (length, thick), (*pick(rng, _INKS), 255))
    _text(ImageDraw.Draw(strip), (0, 0, length, thick), pick(rng, _RIBBONS), _WHITE, height=thick * 0.66)
    strip = strip.rotate(45, expand=True, resample=Image.Resampling.BICUBIC)
    offset = int(side * 0.44 - strip.width / 2)
    piece = strip.crop((max(0, -offset), max(0, -offset), strip.width, strip.height))
    layer.alpha_composite(piece, (max(0, offset), max(0, offset)))


def _watermark(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    mark = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(mark)
    word = pick(rng, _SHOPS)
    alpha = int(rng.integers(70, 110))
    _text(draw, (0, 0, width, height), word, (255, 255, 255, alpha), height=height * rng.uniform(0.1, 0.16))
    return mark.rotate(float(rng.uniform(-35, 35)), resample=Image.Resampling.BICUBIC)
