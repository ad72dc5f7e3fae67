"""Small elements: bursts, seals, ribbons, flags, coupons, chips, lists, prices, ratings, logos and codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from ..shapes import star
from ..streams import pick
from .canvas import Area, Patch, compose, inset, split_rows, without
from .style import DARK, WHITE, Color, Style

Painter = Callable[[Style, np.random.Generator, int, int], Image.Image]


def burst(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a star or scalloped disc with a discount, a price or a shout."""
    patch, palette = Patch(style, width, height), style.palette
    side = min(patch.width, patch.height)
    center = (patch.width / 2, patch.height / 2)
    tips, inner = pick(rng, ((14, 0.84), (20, 0.88), (12, 0.76), (24, 0.92)))
    loud = rng.random() < 0.5
    outer = patch.polygon(star(center, side * 0.49, inner, tips, rng.uniform(0, 0.3)))
    color, ink = (palette.accent, palette.accent_ink) if loud else (palette.main, palette.ink)
    if loud:
        patch.fill(outer, color)
    else:
        patch.area(outer)
    if rng.random() < 0.5:
        patch.fill(patch.ring(center, side * 0.395, 0.06 * side * 0.395), ink)
    x, y = center
    r = side * 0.335
    if rng.random() < 0.5:
        text = style.voice.discount(rng) if rng.random() < 0.6 else pick(rng, style.voice.language.shouts)
        patch.write((x - r, y - r * 0.55, x + r, y + r * 0.55), text, ink)
    else:
        small, large = split_rows((x - r, y - r * 0.72, x + r, y + r * 0.62), (0.3, 0.6))
        patch.write(inset(small, 0.18), pick(rng, style.voice.language.only), ink)
        patch.write(large, style.voice.round_price(rng) if rng.random() < 0.6 else style.voice.discount(rng), ink)
    return patch.shaded()


def seal(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a round seal of quality."""
    patch, palette = Patch(style, width, height), style.palette
    side = min(patch.width, patch.height)
    center = (patch.width / 2, patch.height / 2)
    disc = patch.disc(center, side * 0.49)
    if rng.random() < 0.5:
        patch.area(disc)
        ink, band, band_ink = palette.ink, palette.accent, palette.accent_ink
    else:
        patch.fill(disc, WHITE)
        ink = palette.deep if palette.main[0] < 240 or palette.main[1] < 200 else DARK
        band, band_ink = palette.main, palette.ink
        patch.fill(patch.ring(center, side * 0.48, 0.1 * side * 0.48), band)
    patch.fill(patch.ring(center, side * 0.42, 0.036 * side * 0.42), ink)
    x, y = center
    if rng.random() < 0.5:
        words = pick(rng, style.voice.language.qualities).split(" ", 1)
        rows = split_rows((x - side * 0.31, y - side * 0.2, x + side * 0.31, y + side * 0.2), (1.0,) * len(words), 0.3)
        for row, word in zip(rows, words, strict=True):
            patch.write(row, word, ink)
    else:
        top = (x - side * 0.16, y - side * 0.36, x + side * 0.16, y - side * 0.14)
        patch.fill(patch.star(((top[0] + top[2]) / 2, (top[1] + top[3]) / 2), side * 0.11), ink)
        strip = (x - side * 0.48, y - side * 0.12, x + side * 0.48, y + side * 0.14)
        patch.fill(patch.plate(strip, radius=side * 0.03), band)
        patch.write(inset(strip, 0.16, 0.08), pick(rng, style.voice.language.qualities), band_ink)
        patch.write(
            (x - side * 0.24, y + side * 0.19, x + side * 0.24, y + side * 0.31), style.voice.discount(rng), ink
        )
    return patch.shaded()


def ribbon(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a ribbon across the upper left corner."""
    return _ribbon(style, rng, width, height, right=False)


def right_ribbon(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a ribbon across the upper right corner."""
    return _ribbon(style, rng, width, height, right=True)


def flag(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a bookmark that hangs from the upper edge."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    notch = h * pick(rng, (0.0, 0.12, 0.16))
    points = np.array([(0, 0), (w, 0), (w, h), (w / 2, h - notch), (0, h)])
    if rng.random() < 0.3:
        points = np.array([(0, 0), (w, 0), (w, h * 0.8), (w / 2, h), (0, h * 0.8)])
    patch.area(patch.polygon(points))
    small, large = split_rows((w * 0.12, h * 0.12, w * 0.88, h * 0.74), (0.42, 0.58), 0.3)
    patch.write(small, pick(rng, style.voice.language.shouts), palette.ink)
    patch.write(large, style.voice.discount(rng).split(" ")[0], palette.ink)
    return patch.shaded()


def coupon(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a notched ticket: an amount, a dashed line, and the name of the coupon."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    split = w * rng.uniform(0.4, 0.6)
    ticket = patch.plate(radius=h * 0.08)
    holes, draw = patch.mask()
    bite = h * 0.09
    for x, y in ((split, 0), (split, h)) if rng.random() < 0.6 else ((0, h / 2), (w, h / 2), (split, 0), (split, h)):
        draw.ellipse((x - bite, y - bite, x + bite, y + bite), fill=255)
    ticket = without(ticket, holes)
    light = rng.random() < 0.35
    if light:
        patch.fill(ticket, palette.accent)
    else:
        patch.area(ticket)
    ink = palette.accent_ink if light else palette.ink
    dashes, draw = patch.mask()
    for y in np.arange(h * 0.14, h * 0.84, h * 0.11):
        draw.rectangle((split - w * 0.006, y, split + w * 0.006, y + h * 0.055), fill=255)
    patch.fill(dashes, ink)
    patch.write((w * 0.07, h * 0.24, split - w * 0.05, h * 0.76), style.voice.round_price(rng), ink)
    upper, lower = split_rows((split + w * 0.05, h * 0.24, w * 0.94, h * 0.78), (0.6, 0.36), 0.3)
    patch.write(upper, pick(rng, style.voice.language.coupon), ink)
    patch.write(inset(lower, 0.06), pick(rng, style.voice.language.slogans), ink, bold=0.0)
    return patch.shaded()


def chip(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a capsule with a van and a way of delivery, or a tick and a quality."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    filled = rng.random() < 0.7
    delivery = rng.random() < 0.65
    plate = patch.plate(radius=h * pick(rng, (0.5, 0.5, 0.2)))
    if filled:
        patch.area(plate)
        ink: Color = palette.ink
    else:
        patch.fill(plate, palette.deep if palette.ink == WHITE else DARK)
        rim = max(1, round(0.05 * h))
        patch.fill(patch.plate((rim, rim, w - rim, h - rim), radius=h * 0.45), WHITE)
        ink = palette.deep if palette.ink == WHITE else DARK
    icon = (h * 0.26, h * 0.2, h * 1.06, h * 0.8)
    if delivery:
        _van(patch, icon, ink)
    else:
        _tick(patch, icon, ink)
    phrases = style.voice.language.delivery if delivery else style.voice.language.qualities
    patch.write((h * 1.18, h * 0.24, w - h * 0.34, h * 0.78), pick(rng, phrases), ink, align="left")
    return patch.shaded()


def benefits(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a list of two to four qualities with ticks, on plates or directly on the picture."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    phrases = style.voice.language.qualities + style.voice.language.delivery
    count = min(int(rng.integers(2, 5)), len(phrases))
    form = pick(rng, ("plate", "pale", "chips"))
    ink = palette.ink
    if form == "plate":
        patch.area(patch.plate(radius=style.roundness * w * 0.15), opacity=rng.uniform(0.82, 1.0))
    elif form == "pale":
        patch.fill(patch.plate(radius=style.roundness * w * 0.15), WHITE, opacity=rng.uniform(0.72, 0.9))
        ink = DARK
    margin = 0.0 if form == "chips" else 0.08
    area = (w * margin, h * margin, w * (1 - margin), h * (1 - margin))
    lines = [phrases[index] for index in rng.permutation(len(phrases))[:count]]
    rows = split_rows(area, (1.0,) * count, 0.35)
    high = min(rows[0][3] - rows[0][1], 0.2 * w)
    limit = patch.fit((0, 0, area[2] - area[0] - 1.25 * high, 0.62 * high), lines)
    for (x0, top, x1, bottom), line in zip(rows, lines, strict=True):
        y0, y1 = (top + bottom - high) / 2, (top + bottom + high) / 2
        if form == "chips":
            patch.area(patch.plate((x0, y0, x1, y1), radius=high * min(0.5, style.roundness + 0.1)))
        _tick(patch, (x0 + high * 0.2, y0 + high * 0.2, x0 + high * 0.8, y0 + high * 0.8), ink)
        patch.write((x0 + high, y0, x1, y1), line, ink, align="left", limit=limit)
    return patch.shaded() if form != "pale" else patch.image


def price_plate(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a plate with a price and often the former price, struck through."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    language = style.voice.language
    form = pick(rng, ("plate", "slanted", "tag"))
    if form == "slanted":
        mask = patch.polygon(np.array([(0, 0), (w, 0), (w - h * 0.35, h), (0, h)]))
    elif form == "tag":
        mask = patch.polygon(np.array([(0, h / 2), (h * 0.32, 0), (w, 0), (w, h), (h * 0.32, h)]))
        hole, draw = patch.mask()
        draw.ellipse((h * 0.2, h * 0.43, h * 0.34, h * 0.57), fill=255)
        mask = without(mask, hole)
    else:
        mask = patch.plate()
    patch.area(mask)
    left = w * 0.06 + (h * 0.34 if form == "tag" else 0)
    right = w * 0.94 - (h * 0.3 if form == "slanted" else 0)
    outline = palette.deep if style.outline and palette.ink != palette.deep else None
    price = style.voice.price(rng)
    only_text = pick(rng, language.only)
    if rng.random() < 0.6 or len(only_text) > 5:
        upper, lower = split_rows((left, h * 0.13, right, h * 0.9), (0.27, 0.62), 0.25)
        x0, y0, x1, y1 = upper
        only = patch.write((x0, y0, x0 + (x1 - x0) * 0.5, y1), only_text, palette.ink, align="left")
        before = f"{pick(rng, language.was)} {style.voice.price(rng)}"
        x0 = max(only[2] + w * 0.04, x0 + (x1 - x0) * 0.4)
        patch.write((x0, y0, x1, y1), before, palette.ink, align="right", bold=0.0, strike=True)
        patch.write(lower, price, palette.accent if palette.accent != WHITE else palette.ink, outline=outline)
    else:
        small = (left, h * 0.3, left + (right - left) * 0.26, h * 0.7)
        patch.write(small, only_text, palette.ink)
        large = (left + (right - left) * 0.3, h * 0.16, right, h * 0.84)
        patch.write(large, price, palette.accent if palette.accent != WHITE else palette.ink, outline=outline)
    return patch.shaded()


def stars(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a rating of five stars on a white plate, with its number."""
    patch = Patch(style, width, height)
    w, h = patch.width, patch.height
    patch.fill(patch.plate(radius=h * 0.3), WHITE, opacity=rng.uniform(0.85, 1.0))
    full = int(rng.integers(4, 6))
    patch.rating([(w * (0.09 + 0.135 * index), h / 2) for index in range(5)], h * 0.34, full)
    score = f"{full - 1 + 0.1 * int(rng.integers(5, 10)):.1f}" if full == 5 else f"4.{int(rng.integers(0, 5))}"
    patch.write((w * 0.74, h * 0.27, w * 0.95, h * 0.73), score, DARK)
    return patch.shaded()


def logo(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a shop's mark and name, on a plate or directly on the picture."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    color: Color = palette.main if sum(palette.main) < 560 else DARK
    ink, mark = color, color
    form = pick(rng, ("bare", "plate", "pale"))
    if form == "plate":
        patch.area(patch.plate())
        ink = mark = palette.ink
    elif form == "pale":
        patch.fill(patch.plate(), WHITE, opacity=0.85)
    name = style.voice.shop(rng)
    left = w * 0.06
    if rng.random() < 0.6:
        _mark(patch, (left, h * 0.18, left + h * 0.64, h * 0.82), mark, rng)
        left += h * 0.76
    patch.write((left, h * 0.24, w * 0.95, h * 0.78), name, ink, align="left", bold=pick(rng, (0.0, style.bold)))
    return patch.image


def code(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a square with a caption that looks like a QR code but encodes nothing."""
    patch = Patch(style, width, height)
    w, h = patch.width, patch.height
    patch.fill(patch.plate(radius=w * 0.04), WHITE)
    count = 21
    cells = rng.random((count, count)) < 0.48
    for row, column in ((0, 0), (0, count - 7), (count - 7, 0)):
        rows, columns = slice(max(0, row - 1), row + 8), slice(max(0, column - 1), column + 8)
        cells[rows, columns] = False
        cells[row : row + 7, column : column + 7] = True
        cells[row + 1 : row + 6, column + 1 : column + 6] = False
        cells[row + 2 : row + 5, column + 2 : column + 5] = True
    side = round(w * 0.84)
    dots = Image.fromarray(np.where(cells, np.uint8(255), np.uint8(0))).resize((side, side), Image.Resampling.NEAREST)
    mask = Image.new("L", patch.image.size)
    margin = round((w - side) / 2)
    mask.paste(dots, (margin, margin))
    patch.fill(mask, DARK)
    caption = (w * 0.08, margin + side + h * 0.02, w * 0.92, h * 0.97)
    if caption[3] - caption[1] > 0.06 * h:
        patch.write(caption, pick(rng, style.voice.language.scan), DARK)
    return patch.shaded()


def _ribbon(style: Style, rng: np.random.Generator, width: int, height: int, *, right: bool) -> Image.Image:
    patch, palette = Patch(style, width, height), style.palette
    side = min(patch.width, patch.height)
    inner, outer = side * rng.uniform(0.42, 0.52), side * rng.uniform(0.8, 0.95)
    points = np.array([(inner, 0), (outer, 0), (0, outer), (0, inner)])
    if right:
        points[:, 0] = patch.width - points[:, 0]
    strip = patch.polygon(points)
    loud = rng.random() < 0.4
    if loud:
        patch.fill(strip, palette.accent)
    else:
        patch.area(strip)
    thick = (outer - inner) / np.sqrt(2)
    letters = Patch(style, round(side * 0.8), round(thick))
    text = pick(rng, (*style.voice.language.shouts, style.voice.discount(rng)))
    ink = palette.accent_ink if loud else palette.ink
    letters.write((side * 0.1, thick * 0.2, side * 0.7, thick * 0.8), text, ink)
    turned = letters.image.rotate(-45 if right else 45, Image.Resampling.BICUBIC, expand=True)
    y = (inner + outer) / 4
    x = patch.width - y if right else y
    compose(patch.image, turned, round(x - turned.width / 2), round(y - turned.height / 2))
    return patch.image


def _tick(patch: Patch, area: Area, color: Color) -> None:
    x0, y0, x1, y1 = area
    mask, draw = patch.mask()
    w, h = x1 - x0, y1 - y0
    points = [(x0 + 0.08 * w, y0 + 0.52 * h), (x0 + 0.38 * w, y0 + 0.84 * h), (x0 + 0.94 * w, y0 + 0.16 * h)]
    draw.line(points, fill=255, width=max(1, round(0.2 * h)), joint="curve")
    patch.fill(mask, color)


def _van(patch: Patch, area: Area, color: Color) -> None:
    x0, y0, x1, y1 = area
    w, h = x1 - x0, y1 - y0
    mask, draw = patch.mask()
    draw.rectangle((x0, y0 + 0.14 * h, x0 + 0.6 * w, y0 + 0.72 * h), fill=255)
    cabin = [(0.64, 0.3), (0.84, 0.3), (1.0, 0.5), (1.0, 0.72), (0.64, 0.72)]
    draw.polygon([(x0 + x * w, y0 + y * h) for x, y in cabin], fill=255)
    for x in (0.24, 0.78):
        box = (x0 + (x - 0.13) * w, y0 + 0.6 * h, x0 + (x + 0.13) * w, y0 + 0.6 * h + 0.26 * w)
        draw.ellipse(box, fill=0)
        rim = 0.05 * w
        draw.ellipse((box[0] + rim, box[1] + rim, box[2] - rim, box[3] - rim), fill=255)
    patch.fill(mask, color)


def _mark(patch: Patch, area: Area, color: Color, rng: np.random.Generator) -> None:
    """Paint the mark of a logo."""
    x0, y0, x1, y1 = area
    side = min(x1 - x0, y1 - y0)
    mask, draw = patch.mask()
    form = pick(rng, ("disc", "ring", "house", "bars", "leaf", "star"))
    if form == "disc":
        draw.ellipse((x0, y0, x0 + side, y0 + side), fill=255)
        draw.ellipse((x0 + side * 0.3, y0 + side * 0.1, x0 + side * 0.9, y0 + side * 0.7), fill=0)
    elif form == "ring":
        draw.ellipse((x0, y0, x0 + side, y0 + side), outline=255, width=max(1, round(side * 0.2)))
    elif form == "house":
        roof = [(0.5, 0.0), (1.0, 0.45), (0.85, 0.45), (0.85, 1.0), (0.15, 1.0), (0.15, 0.45), (0.0, 0.45)]
        draw.polygon([(x0 + x * side, y0 + y * side) for x, y in roof], fill=255)
        draw.rectangle((x0 + side * 0.4, y0 + side * 0.6, x0 + side * 0.6, y0 + side), fill=0)
    elif form == "bars":
        for index, high in enumerate((0.5, 1.0, 0.7)):
            x = x0 + side * 0.36 * index
            draw.rectangle((x, y0 + side * (1 - high), x + side * 0.24, y0 + side), fill=255)
    elif form == "leaf":
        draw.pieslice((x0, y0, x0 + 2 * side, y0 + 2 * side), 180, 270, fill=255)
    else:
        mask = patch.star((x0 + side / 2, y0 + side / 2), side / 2)
    patch.fill(mask, color)
