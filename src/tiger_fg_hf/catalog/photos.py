"""Decode the photos of a catalog, with their boxes in the pixels of the decoded image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..models.image_loading_tiger_fg import load_reduced_rgb_image


def load_photo(
    image: Any, box: Sequence[float] | None = None, *, name: str = "image"
) -> tuple[Image.Image, list[float] | None]:
    """Decode a photo to RGB; a JPEG beyond the pixel limit is read at reduced scale.

    Args:
        image: Whatever `load_reduced_rgb_image` reads.
        box: Box `[x0, y0, x1, y1]` in pixels of the full, upright photo.
        name: The photo's name in error messages.

    Returns:
        The photo, and its box in pixels of the returned image.

    Raises:
        ValueError: If the photo cannot be read; the message starts with `name`.

    Example:
        >>> photo, box = load_photo(Image.new("RGB", (40, 30)), [10, 5, 30, 25])
        >>> photo.size, box
        ((40, 30), [10.0, 5.0, 30.0, 25.0])
    """
    photo, (full_width, full_height) = load_reduced_rgb_image(image, name=name)
    if box is None:
        return photo, None
    scale_x, scale_y = photo.width / full_width, photo.height / full_height
    x0, y0, x1, y1 = (float(side) for side in box)
    return photo, [x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y]
