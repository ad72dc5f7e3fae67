"""Retrieval cases with their grounding maps, as one picture and as a web page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from tiger_fg_hf.evaluation.figure import fit_square, overlay_grounding
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GalleryScores
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

from .scored import mosaic_rows

_RIGHT, _WRONG, _INK, _MUTED = (34, 139, 34), (190, 40, 40), (30, 30, 30), (120, 120, 120)
_BOX, _EXTENT = (0, 120, 255), (255, 150, 0)
_COLUMNS = ("query", "its item, true box", "grounding map", "top result")
_CASES = 8  # of each kind


def draw_mosaic_cases(folder: Path, benchmark: IMMRBenchmark, gallery: GalleryScores) -> bool:
    """Write `grounding.png` and `grounding.html` with random cases of the Mosaic gallery; False without maps."""
    if gallery.grounding is None or gallery.pointing is None:
        return False
    rows = mosaic_rows(benchmark)
    is_first = gallery.above["own"] == 0
    has_box = ~np.isnan(gallery.pointing[rows])  # the processor may crop a box away
    kinds = {
        "Ranked first": is_first & has_box,
        "Not ranked first": ~is_first & has_box,
        "The map peaks outside the box": gallery.pointing[rows] < 0.5,
    }
    groups = {}
    for heading, fits in kinds.items():
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(fits))[:_CASES].tolist()
        if chosen:
            share = f"{heading} ({fits.sum()} of {len(rows)}; {len(chosen)} drawn at random)"
            groups[share] = [_case(benchmark, gallery, query, int(rows[query])) for query in chosen]
    title = "IMMR, Mosaic gallery: grounding maps of TIGER-FG"
    draw_cases(groups, title=title).save(folder / "grounding.png", optimize=True)
    note = "The blue box is the true one, which the model never sees. The map is red where it is high."
    if gallery.boxes is not None:
        note += " The orange box is the extent, where the second glance looks."
    (folder / "grounding.html").write_text(cases_page(groups, title=title, note=note))
    return True


@dataclass(frozen=True)
class Case:
    """One query and its item.

    Attributes:
        query, item, top: pictures of the query, of its item, and of the highest-ranked item.
        grounding: `[h, w]` map of the item's padded square.
        box: true box `[x0, y0, x1, y1]` in pixels of `item`.
        title, top_title: titles of the item and of the highest-ranked item.
        rank: rank of the item, from 1.
        mass: share of the map inside the box.
        extent: box of the second glance, as shares of the padded square; None for a model with one glance.
    """

    query: Image.Image
    item: Image.Image
    top: Image.Image
    grounding: torch.Tensor
    box: Sequence[float]
    title: str
    top_title: str
    rank: int
    mass: float
    extent: Sequence[float] | None = None

    def pictures(self, side: int) -> list[Image.Image]:
        """Return query, item, grounding map and top result, each a square of `side` pixels."""
        item = fit_square(self.item, side)
        mapped = overlay_grounding(item, self.grounding)
        for picture in (item, mapped):
            _outline(picture, _on_square(self.box, self.item.size, side), _BOX)
        if self.extent is not None:
            _outline(mapped, [side * edge for edge in self.extent], _EXTENT)
        return [fit_square(self.query, side), item, mapped, fit_square(self.top, side)]

    @property
    def caption(self) -> str:
        """Rank and box mass in words."""
        return f"rank {self.rank}, {self.mass:.0%} of the map in the box"


def draw_cases(groups: Mapping[str, Sequence[Case]], *, title: str, side: int = 132, columns: int = 2) -> Image.Image:
    """Draw cases below the headings of their groups.

    Args:
        groups: heading -> cases.
        title: heading of the picture.
        side: side of each small picture in pixels.
        columns: number of cases side by side.

    Returns:
        RGB image.
    """
    gap, label, head = 8, 40, 40
    cell = len(_COLUMNS) * (side + gap) + 3 * gap
    lines = {heading: -(-len(cases) // columns) for heading, cases in groups.items()}
    height = 46 + sum(head + count * (side + label) + gap for count in lines.values())
    sheet = Image.new("RGB", (columns * cell + 2 * gap, height), "white")
    draw = ImageDraw.Draw(sheet)
    big, middle, small = (ImageFont.load_default(size) for size in (19, 15, 12))
    draw.text((2 * gap, 12), title, fill=_INK, font=big)
    top = 46
    for heading, cases in groups.items():
        draw.text((2 * gap, top), heading, fill=_INK, font=middle)
        for column in range(min(columns, len(cases))):
            for index, name in enumerate(_COLUMNS):
                left = 2 * gap + column * cell + index * (side + gap)
                draw.text((left, top + 21), name, fill=_MUTED, font=small)
        for place, case in enumerate(cases):
            left = 2 * gap + (place % columns) * cell
            y = top + head + place // columns * (side + label)
            for index, picture in enumerate(case.pictures(side)):
                sheet.paste(picture, (left + index * (side + gap), y))
            color = _RIGHT if case.rank == 1 else _WRONG
            widest = 3 * (side + gap) - gap
            draw.text((left, y + side + 4), _cut(draw, case.title, small, widest), fill=_INK, font=small)
            draw.text((left, y + side + 19), case.caption, fill=color, font=small)
            top_title = _cut(draw, case.top_title, small, side)
            draw.text((left + 3 * (side + gap), y + side + 4), top_title, fill=color, font=small)
        top += head + lines[heading] * (side + label) + gap
    return sheet


def cases_page(groups: Mapping[str, Sequence[Case]], *, title: str, note: str, side: int = 224) -> str:
    """Format the cases of [`draw_cases`] as one HTML file; `note` is a paragraph below the heading."""
    sections = []
    for heading, cases in groups.items():
        cards = "".join(_card(case, side) for case in cases)
        sections.append(f"<h2>{html.escape(heading)}</h2><div class=cards>{cards}</div>")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; color: #1e1e1e; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(540px, 100%), 1fr)); gap: 1rem }}
article {{ border: 1px solid #ddd; border-radius: 8px; padding: .7rem }}
.row {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem }}
figure {{ margin: 0 }} img {{ width: 100%; display: block; border-radius: 4px }}
figcaption {{ color: #777; font-size: 12px }} p {{ margin: .3rem 0 }}
.right {{ color: #228b22 }} .wrong {{ color: #be2828 }}
</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(note)}</p>{"".join(sections)}</body></html>
"""


def _case(benchmark: IMMRBenchmark, gallery: GalleryScores, query: int, row: int) -> Case:
    assert gallery.grounding is not None
    assert gallery.mass is not None
    item, top = benchmark.mosaic[row], benchmark.mosaic[int(gallery.best[query])]
    return Case(
        query=load_rgb_image(benchmark.queries[query]["query_image"]),
        item=load_rgb_image(item["image"]),
        top=load_rgb_image(top["image"]),
        grounding=torch.from_numpy(gallery.grounding[row].astype(np.float32)),
        box=item["box"],
        title=item["title"],
        top_title=top["title"],
        rank=int(gallery.above["own"][query]) + 1,
        mass=float(gallery.mass[row]),
        extent=None if gallery.boxes is None else gallery.boxes[row].tolist(),
    )


def _card(case: Case, side: int) -> str:
    figures = "".join(
        f'<figure><img loading="lazy" alt="{name}" src="{_data_url(picture)}"><figcaption>{name}</figcaption></figure>'
        for name, picture in zip(_COLUMNS, case.pictures(side), strict=True)
    )
    kind = "right" if case.rank == 1 else "wrong"
    top = "" if case.rank == 1 else f"<p>top result: {html.escape(case.top_title)}</p>"
    return (
        f"<article><div class=row>{figures}</div><p>{html.escape(case.title)}</p>"
        f'<p class="{kind}">{html.escape(case.caption)}</p>{top}</article>'
    )


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _on_square(box: Sequence[float], size: tuple[int, int], side: int) -> list[float]:
    """Map a box of an image of `size` (width, height) to its padded square."""
    scale = side / max(size)
    left, top = ((side - length * scale) / 2 for length in size)
    x0, y0, x1, y1 = box
    return [left + x0 * scale, top + y0 * scale, left + x1 * scale, top + y1 * scale]


def _outline(picture: Image.Image, box: Sequence[float], color: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box
    corners = (x0, y0, max(x1 - 1, x0), max(y1 - 1, y0))
    ImageDraw.Draw(picture).rectangle(corners, outline=color, width=max(2, picture.width // 70))


def _cut(draw: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    while draw.textlength(text, font=font) > width:
        text = text[:-2].rstrip("….") + "…"
    return text
