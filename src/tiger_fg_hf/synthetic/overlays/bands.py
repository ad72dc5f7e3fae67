"""Elements as wide or high as the picture: banners, deal bars, strips, frames, tabs and watermarks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..streams import pick
from .canvas import Patch, both, compose, split_rows, without
from .style import DARK, WHITE, Style


def banner(style: Style, rng: np.random.Generator, width: int, height: int, *, top: bool) -> Image.Image:
    """Paint a band with a slogan along the upper or lower edge; its inner edge is straight, wavy, slanted or fades."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    edge = pick(rng, ("straight", "straight", "wave", "slant", "fade"))
    ink = palette.ink
    if edge == "fade":
        ramp = Image.linear_gradient("L").resize((w, h))
        ramp = ramp.point([min(255, round(value * 1.6)) for value in range(256)])
        patch.fill(ramp, palette.deep)
    elif edge == "straight":
        patch.area(patch.plate(radius=0), opacity=pick(rng, (1.0, 1.0, 0.8)))
    else:
        x = np.linspace(0, w, 48)
        swing = h * 0.13
        phase = rng.uniform(0, 2 * np.pi)
        if edge == "wave":
            rise = swing * (1 + np.sin(x / w * 2 * np.pi * rng.uniform(0.6, 1.4) + phase))
        else:
            rise = x / w * h * 0.26
        points = np.concatenate([np.stack([x, rise], 1), [(w, h), (0, h)]])
        if rng.random() < 0.6:
            patch.fill(patch.polygon(points), palette.accent)
            points[:48, 1] += h * 0.09
        patch.area(patch.polygon(points))
    if top:
        patch.image = patch.image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    # The inner edge eats into the height on its own side.
    upper, lower = (0.12, 0.24) if edge == "straight" else (0.32, 0.12)
    if top:
        upper, lower = lower, upper
    area = (w * 0.05, h * min(upper, 0.3), w * 0.95, h * (1 - min(lower, 0.3)))
    if edge == "straight":
        area = (w * 0.05, h * 0.2, w * 0.95, h * 0.8)
    form = pick(rng, ("slogan", "slogan", "slogan and line", "slogan and capsule"))
    slogan = pick(rng, style.voice.language.slogans)
    outline = palette.deep if style.outline and ink == WHITE else None
    if form == "slogan":
        patch.write(area, slogan, ink, outline=outline)
    elif form == "slogan and line":
        large, small = split_rows(area, (0.56, 0.36), 0.25)
        patch.write(large, slogan, ink, outline=outline)
        phrases = style.voice.language.delivery + style.voice.language.qualities
        words = [phrases[index] for index in rng.permutation(len(phrases))[:2]]
        patch.write(small, f"{words[0]}  |  {words[-1]}" if style.voice.font.covers("|") else words[0], ink, bold=0.0)
    else:
        x0, y0, x1, y1 = area
        split = x0 + (x1 - x0) * 0.66
        patch.write((x0, y0, split, y1), slogan, ink, align="left", outline=outline)
        capsule = (split + w * 0.03, y0, x1, y1)
        patch.fill(patch.plate(capsule, radius=(y1 - y0) / 2), palette.accent)
        inset = 0.22 * (y1 - y0)
        patch.write(
            (capsule[0] + inset, y0 + inset, capsule[2] - inset, y1 - inset),
            pick(rng, (style.voice.discount(rng), style.voice.round_price(rng))),
            palette.accent_ink,
        )
    return patch.image


def deal_bar(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a bar along the lower edge: a block with the price, and next to it a slogan and the delivery."""
    patch, palette = Patch(style, width, height), style.palette
    w, h = patch.width, patch.height
    language = style.voice.language
    bar = patch.plate((0, h * 0.24, w, h), radius=0)
    patch.area(bar)
    split = w * rng.uniform(0.36, 0.46)
    lean = h * pick(rng, (0.0, 0.25, -0.2))
    top = pick(rng, (0.0, 0.12))
    if rng.random() < 0.5:
        block = patch.plate((w * 0.02, h * top, split, h * 0.94), radius=h * 0.14)
    else:
        block = patch.polygon(np.array([(0, h * top), (split + lean / 2, h * top), (split - lean / 2, h), (0, h)]))
    patch.fill(block, palette.accent)
    left, right = w * 0.05, split - abs(lean) / 2 - w * 0.03
    small, large = split_rows((left, h * (top + 0.1), right, h * 0.88), (0.3, 0.6), 0.2)
    patch.write(small, pick(rng, language.only), palette.accent_ink)
    patch.write(large, style.voice.price(rng), palette.accent_ink)
    upper, lower = split_rows((split + abs(lean) / 2 + w * 0.03, h * 0.34, w * 0.97, h * 0.9), (0.56, 0.34), 0.3)
    patch.write(upper, pick(rng, language.slogans), palette.ink, align="left")
    patch.write(lower, pick(rng, language.delivery + language.qualities), palette.ink, align="left", bold=0.0)
    return patch.image


def strip(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint an upright band along a side, with rotated text."""
    turned = Patch(style, height, width)
    w, h = turned.width, turned.height
    turned.area(turned.plate(radius=0), opacity=pick(rng, (1.0, 0.85)))
    turned.write((w * 0.06, h * 0.24, w * 0.94, h * 0.76), pick(rng, style.voice.language.slogans), style.palette.ink)
    return turned.image.transpose(pick(rng, (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)))


def frame(style: Style, rng: np.random.Generator, width: int, height: int, *, thickness: float) -> Image.Image:
    """Paint a frame around the whole picture, with a line `thickness` pixels wide."""
    patch, palette = Patch(style, width, height), style.palette
    w, h, t = patch.width, patch.height, thickness
    form = pick(rng, ("plain", "round", "double", "corners", "dashed"))
    if form == "round":
        patch.area(patch.edge(t, radius=3.5 * t))
    elif form == "double":
        patch.area(patch.edge(t * 0.7))
        outer = patch.plate((t, t, w - t, h - t), radius=0)
        patch.fill(without(outer, patch.plate((t * 1.2, t * 1.2, w - t * 1.2, h - t * 1.2), radius=0)), palette.accent)
    elif form == "corners":
        patch.area(patch.edge(t * 0.5))
        reach = min(w, h) * 0.16
        corners = [np.array([(x, y), (abs(x - reach), y), (x, abs(y - reach))]) for x in (0, w) for y in (0, h)]
        for points in corners:
            patch.fill(patch.polygon(points), palette.accent)
            patch.area(patch.polygon(points[0] + 0.72 * (points - points[0])))
    else:
        line = patch.edge(t)
        patch.area(line)
        if form == "dashed":
            stripes, draw = patch.mask()
            for start in np.arange(-h, w, 3 * t).tolist():
                end = start + 1.2 * t
                draw.polygon([(start, h), (end, h), (end + h, 0), (start + h, 0)], fill=255)
            patch.fill(both(stripes, line), palette.accent)
    return patch.image


def tab(style: Style, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a plate that hangs from the middle of the upper edge."""
    patch = Patch(style, width, height)
    w, h = patch.width, patch.height
    slope = h * pick(rng, (0.0, 0.5))
    patch.area(patch.polygon(np.array([(0, 0), (w, 0), (w - slope, h), (slope, h)])))
    area = (w * 0.08 + slope, h * 0.2, w * 0.92 - slope, h * 0.8)
    patch.write(area, pick(rng, style.voice.language.slogans), style.palette.ink)
    return patch.image


def watermark(style: Style, rng: np.random.Generator, width: int, height: int, *, tiled: bool) -> Image.Image:
    """Paint a translucent shop name across the picture, once or in rows."""
    patch = Patch(style, width, height)
    w, h = patch.width, patch.height
    opacity = rng.uniform(0.22, 0.42)
    ink = pick(rng, (WHITE, WHITE, (128, 128, 128), DARK, style.palette.main))
    name = style.voice.shop(rng)
    if not tiled:
        word = Patch(style, round(w * 0.8), round(h * rng.uniform(0.1, 0.16)))
        word.write((0, 0, word.width, word.height), name, ink, outline=None)
        mark = word.image.rotate(pick(rng, (0.0, 0.0, 24.0, -24.0)), Image.Resampling.BICUBIC, expand=True)
        x, y = round((w - mark.width) / 2), round((h - mark.height) * rng.uniform(0.35, 0.65))
        compose(patch.image, mark, x, y)
    else:
        side = round(1.5 * max(w, h))
        sheet = Image.new("RGBA", (side, side))
        across = round(min(w, h) * rng.uniform(0.24, 0.36))
        word = Patch(style, across, max(6, round(across * 0.2)))
        word.write((0, 0, word.width, word.height), name, ink)
        down = round(across * rng.uniform(0.6, 0.9))
        for row, y in enumerate(range(0, side - word.height, down)):
            for x in range(-(row % 2) * across // 2 + across, side - across, round(1.5 * across)):
                sheet.paste(word.image, (x, y))
        sheet = sheet.rotate(pick(rng, (30.0, -30.0, 45.0)), Image.Resampling.BICUBIC)
        left, upper = (side - w) // 2, (side - h) // 2
        patch.image = sheet.crop((left, upper, left + w, upper + h))
    alpha = patch.image.getchannel("A").point([round(value * opacity) for value in range(256)])
    patch.image.putalpha(alpha)
    return patch.image
