"""A picture of search results: queries, their top items, and grounding maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

_RIGHT, _WRONG, _INK, _MUTED = (34, 139, 34), (190, 40, 40), (30, 30, 30), (120, 120, 120)


@dataclass(frozen=True)
class Hit:
    """One found item: its image, the map `[h, w]` of its padded square, cosine, title, and whether it is right."""

    image: Image.Image
    grounding: torch.Tensor
    score: float
    title: str
    correct: bool


def draw_results(rows: Sequence[tuple[Image.Image, Sequence[Hit]]], *, title: str, side: int = 150) -> Image.Image:
    """One line for each query: the query, then its hits, best first, each above its grounding map.

    Args:
        rows: queries with as many hits each.
        title: headline.
        side: of each picture in pixels.

    Returns:
        RGB image.
    """
    gap, label, head = 12, 34, 64
    columns = 1 + max(len(hits) for _, hits in rows)
    line = 2 * side + label + 2 * gap
    sheet = Image.new("RGB", (columns * (side + gap) + 3 * gap, head + len(rows) * line + gap), "white")
    draw = ImageDraw.Draw(sheet)
    big, small = ImageFont.load_default(18), ImageFont.load_default(12)
    draw.text((gap, 10), title, fill=_INK, font=big)
    draw.text((gap, 40), "query", fill=_MUTED, font=small)
    draw.text(
        (2 * gap + side + gap, 40), "found items, best first; green = the right product", fill=_MUTED, font=small
    )
    for index, (query, hits) in enumerate(rows):
        top = head + index * line
        sheet.paste(fit_square(query, side), (gap, top))
        draw.text((gap, top + side + 6), "the item tower looked here:", fill=_MUTED, font=small)
        draw.text((gap, top + side + label + side // 2 - 6), "(red = most)", fill=_MUTED, font=small)
        for column, hit in enumerate(hits):
            left = 2 * gap + (column + 1) * (side + gap)
            picture = fit_square(hit.image, side)
            sheet.paste(picture, (left, top))
            colour = _RIGHT if hit.correct else _WRONG
            draw.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=colour, width=3)
            caption = f"{hit.score:.2f}  {hit.title}"
            while draw.textlength(caption, font=small) > side:
                caption = caption[:-2].rstrip("….") + "…"
            draw.text((left, top + side + 6), caption, fill=colour, font=small)
            sheet.paste(overlay_grounding(picture, hit.grounding), (left, top + side + label - 8))
    return sheet


def overlay_grounding(image: Image.Image, grounding: torch.Tensor) -> Image.Image:
    """Lays a map `[h, w]` over a picture: where it is high the picture turns red, where it is low it pales."""
    weights = grounding.float().cpu().numpy()
    weights = weights / max(float(weights.max()), 1e-12)
    grown = Image.fromarray((255 * weights).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    heat = np.asarray(grown, dtype=np.float32)[..., None] / 255
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    pale = 0.45 * pixels + 0.55 * 255
    red = 0.45 * pixels + 0.55 * np.array([230, 30, 30], dtype=np.float32)
    return Image.fromarray(((1 - heat) * pale + heat * red).clip(0, 255).astype(np.uint8))


def fit_square(image: Image.Image, side: int) -> Image.Image:
    """An image as a square of `side` pixels, padded with white."""
    return ImageOps.pad(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC, color="white")
