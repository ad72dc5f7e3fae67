"""Draws the pictures of `docs/grounding.md` and `docs/index.md`: one picture, three texts, three grounding maps.

    python docs/_scripts/grounding_picture.py

The mosaics are not chosen: products of the test split are taken in order, each mosaic shows the next three that have
different categories, and the first three mosaics are drawn.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from tiger_fg_hf import TigerFGItemModel, TigerFGProcessor, drawn_catalog, load_catalog
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig, Product
from tiger_fg_hf.evaluation.figure import overlay_grounding
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "model_cards" / "tiger-fg-tiny"
ASSETS = ROOT / "docs" / "assets"
MOSAICS, PRODUCTS, SIDE, GAP, LABEL = 3, 3, 220, 14, 40
INK, MUTED, BOX = (30, 30, 30), (100, 100, 100), (20, 140, 60)


def main() -> None:
    """Compose the mosaics, ground each text in its mosaic, and save the sheet and its first line."""
    processor = TigerFGProcessor.from_pretrained(MODEL)
    item_tower = TigerFGItemModel.from_pretrained(MODEL)
    catalog = load_catalog(drawn_catalog(num_products=40, split="test", layout="clean", size=192, with_queries=False))
    records = [to_record(row) for row in catalog]
    composer = MosaicComposer(MosaicConfig(size=256, area=(0.12, 0.3), max_overlap=0.0))
    rng = np.random.default_rng(0)

    width = (1 + PRODUCTS) * (SIDE + GAP) + GAP
    line = SIDE + LABEL + GAP
    sheet = Image.new("RGB", (width, MOSAICS * line + GAP), "white")
    for row in range(MOSAICS):
        group = next_group(records)
        mosaic = composer([product(record) for record in group], rng)
        inputs = processor(images=[mosaic.image] * PRODUCTS, text=group, return_tensors="pt")
        with torch.no_grad():
            maps = item_tower(**inputs).grounding
        top = GAP + row * line
        picture = mosaic.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (GAP, top))
        write(sheet, GAP, top + SIDE + 6, ["one picture, three texts"])
        for column, (record, grounding, box) in enumerate(zip(group, maps, mosaic.boxes, strict=True), start=1):
            left = GAP + column * (SIDE + GAP)
            sheet.paste(overlay_grounding(picture, grounding), (left, top))
            corners = [side * SIDE / 256 for side in box]
            ImageDraw.Draw(sheet).rectangle(
                (left + corners[0], top + corners[1], left + corners[2], top + corners[3]), outline=BOX, width=2
            )
            peak = "peak inside the box" if points_inside(grounding, box) else "peak outside the box"
            write(sheet, left, top + SIDE + 6, [f"“{record['title']}”", peak])
    sheet.save(ASSETS / "grounding.webp", quality=82, method=6)
    sheet.crop((0, 0, width, line)).save(ASSETS / "grounding-first.webp", quality=82, method=6)


def next_group(records: list[dict]) -> list[dict]:
    """Take the next products with different categories out of `records`."""
    group: list[dict] = []
    for record in list(records):
        if len(group) < PRODUCTS and record["category"] not in [other["category"] for other in group]:
            group.append(record)
            records.remove(record)
    return group


def product(record: dict) -> Product:
    """Return a record as the mosaic composer takes it: its picture, cut to its box."""
    return Product(np.asarray(load_rgb_image(record["image"])), box=record["box"])


def points_inside(grounding: torch.Tensor, box: list[float]) -> bool:
    """Return whether the centre of the map's highest cell lies inside a box in pixels of a 256-pixel mosaic."""
    height, width = grounding.shape
    row, column = divmod(int(grounding.argmax()), width)
    x, y = (column + 0.5) * 256 / width, (row + 0.5) * 256 / height
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def write(sheet: Image.Image, left: int, top: int, lines: list[str]) -> None:
    """Write lines below a picture, cut to its width."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, text in enumerate(lines):
        while draw.textlength(text, font=font) > SIDE:
            text = text.rstrip("…”")[:-1] + "…”"
        draw.text((left, top + 17 * number), text, fill=MUTED if number else INK, font=font)


if __name__ == "__main__":
    main()
