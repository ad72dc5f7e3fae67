"""A picture of search results: queries, their top items, and grounding maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

_RIGHT, _WRONG, _INK, _MUTED = (34, 139, 34), (190, 40, 40), (30, 30, 30), (120, 120, 120)


@dataclass(frozen=True)
class Hit:
    """An item that a query found.

    Attributes:
        image: picture of the item.
        grounding: `[h, w]` map of the padded square picture.
        score: cosine of query and item.
        title: title of the item.
        correct: whether it is the product of the query.
    """

    image: Image.Image
    grounding: torch.Tensor
    score: float
    title: str
    correct: bool


@dataclass(frozen=True)
class Case:
    """A query with its hits.

    Attributes:
        query: picture of the query.
        caption: the product of the query and how the search ended, in words.
        hits: items it found, best first.
    """

    query: Image.Image
    caption: str
    hits: Sequence[Hit]


def draw_results(cases: Sequence[Case], *, title: str, side: int = 150) -> Image.Image:
    """Draw one line per query: its caption, the query, and its hits, each above its grounding map.

    Args:
        cases: queries with the same number of hits.
        title: heading of the picture.
        side: side of each small picture in pixels.

    Returns:
        RGB image.
    """
    gap, head, caption, label = 12, 64, 24, 34
    columns = 1 + max(len(case.hits) for case in cases)
    line = caption + 2 * side + label + 2 * gap
    sheet = Image.new("RGB", (columns * (side + gap) + 3 * gap, head + len(cases) * line + gap), "white")
    draw = ImageDraw.Draw(sheet)
    big, middle, small = (ImageFont.load_default(size) for size in (18, 14, 12))
    draw.text((gap, 10), _shortened(draw, title, big, sheet.width - 2 * gap), fill=_INK, font=big)
    draw.text((gap, 40), "query", fill=_MUTED, font=small)
    legend = "found items, best first; green frame = the product of the query"
    draw.text((3 * gap + side, 40), legend, fill=_MUTED, font=small)
    for index, case in enumerate(cases):
        top = head + index * line
        draw.text((gap, top), _shortened(draw, case.caption, middle, sheet.width - 2 * gap), fill=_INK, font=middle)
        top += caption
        sheet.paste(fit_square(case.query, side), (gap, top))
        draw.text((gap, top + side + 6), "grounding maps:", fill=_MUTED, font=small)
        draw.text((gap, top + side + label + side // 2 - 6), "red = high", fill=_MUTED, font=small)
        for column, hit in enumerate(case.hits):
            left = 2 * gap + (column + 1) * (side + gap)
            picture = fit_square(hit.image, side)
            sheet.paste(picture, (left, top))
            color = _RIGHT if hit.correct else _WRONG
            draw.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=color, width=3)
            text = _shortened(draw, f"{hit.score:.2f}  {hit.title}", small, side)
            draw.text((left, top + side + 6), text, fill=color, font=small)
            sheet.paste(overlay_grounding(picture, hit.grounding), (left, top + side + label - 8))
    return sheet


def overlay_grounding(image: Image.Image, grounding: torch.Tensor) -> Image.Image:
    """Lay a map `[h, w]` over a picture, which turns red where the map is high and pale where it is low."""
    weights = grounding.float().cpu().numpy()
    weights = weights / max(float(weights.max()), 1e-12)
    grown = Image.fromarray((255 * weights).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    heat = np.asarray(grown, dtype=np.float32)[..., None] / 255
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    pale = 0.45 * pixels + 0.55 * 255
    red = 0.45 * pixels + 0.55 * np.array([230, 30, 30], dtype=np.float32)
    return Image.fromarray(((1 - heat) * pale + heat * red).clip(0, 255).astype(np.uint8))


def fit_square(image: Image.Image, side: int) -> Image.Image:
    """Pad an image with white to a square of `side` pixels."""
    return ImageOps.pad(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC, color="white")


def _shortened(draw: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    while draw.textlength(text, font=font) > width:
        text = text[:-2].rstrip("….") + "…"
    return text
