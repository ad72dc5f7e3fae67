"""Boxes in images: clip, crop, scale, and map to the processed image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image
from transformers.image_utils import SizeDict

from ..models.image_processing_pil_tiger_fg import plan_resize


def map_box(
    box: Sequence[float], image_size: tuple[int, int], size: dict[str, int], resize_mode: str
) -> tuple[float, float, float, float] | None:
    """Map a box of an image to the processed image, padding included.

    Args:
        box: `[x0, y0, x1, y1]` in pixels of the image.
        image_size: Width and height of the image in pixels.
        size: `{"height", "width"}` of the processed image in pixels.
        resize_mode: `"pad"`, `"squash"` or `"crop"`, as in the image processor.

    Returns:
        `(x0, y0, x1, y1)` as shares of the processed width and height, clipped to [0, 1], or None when the crop leaves
        nothing of the box.

    Example:
        >>> map_box([0, 0, 50, 50], (100, 50), {"height": 32, "width": 32}, "squash")
        (0.0, 0.0, 0.5, 1.0)
    """
    width, height = image_size
    plan = plan_resize(height, width, SizeDict(height=size["height"], width=size["width"]), resize_mode)
    source_x0, source_y0, source_x1, source_y1 = plan.source or (0, 0, width, height)
    scale_x, scale_y = plan.width / (source_x1 - source_x0), plan.height / (source_y1 - source_y0)
    x0, x1 = (((x - source_x0) * scale_x + plan.left) / size["width"] for x in (box[0], box[2]))
    y0, y1 = (((y - source_y0) * scale_y + plan.top) / size["height"] for y in (box[1], box[3]))
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in (x0, y0, x1, y1))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def crop_to_box(image: Image.Image, box: Sequence[float] | None) -> Image.Image:
    """Crop an image to a box `[x0, y0, x1, y1]` in pixels, rounded outward; without a box, return all of it.

    Example:
        >>> from PIL import Image
        >>> crop_to_box(Image.new("RGB", (100, 50)), [10.2, 5, 30, 90]).size
        (20, 45)
    """
    x0, y0, x1, y1 = clip_box(box, image.size)
    return image.crop((math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)))


def scale_box(box: list[float] | None, scale: tuple[float, float]) -> list[float] | None:
    """Scale a box `[x0, y0, x1, y1]` by one factor for x and one for y."""
    return None if box is None else [side * scale[index % 2] for index, side in enumerate(box)]


def clip_box(box: Sequence[float] | None, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Clip a box to an image of `size` (width, height); None or a box outside the image gives the whole image."""
    width, height = size
    if box is not None:
        x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
        if x1 - x0 >= 1 and y1 - y0 >= 1:
            return (x0, y0, x1, y1)
    return (0.0, 0.0, float(width), float(height))
