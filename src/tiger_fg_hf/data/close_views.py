"""Close views: items that a mosaic shows from afar are shown once more, small and alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image

from .boxes import crop_to_box
from .draws import DrawConfig


@dataclass(frozen=True)
class CloseViewConfig(DrawConfig):
    """Which pairs in mosaics get a close view, and what it shows.

    Attributes:
        share: Share of the pairs in mosaics that get one.
        plain_share: Share of the close views that are the plain listing photo. The others are crops of the mosaic
            around the product's box.
        jitter: Largest shift of each side of a crop, either way, as a share of the box's width or height.
        margin: How far each side of a crop is moved outward before that, as a share of the same.
        size: Height and width in pixels to which the collator resizes close views.
    """

    share: Annotated[float, "[0, 1]"] = 1.0
    plain_share: Annotated[float, "[0, 1]"] = 0.5
    jitter: Annotated[float, "[0, 0.5)"] = 0.15
    margin: Annotated[float, "[0, inf)"] = 0.06
    size: Annotated[int, "[16, inf)"] = 112


class CloseViewMaker:
    """Show the product of a pair in a mosaic close up.

    Args:
        config: Shares and sizes; the defaults of `CloseViewConfig` if None.

    Example:
        >>> import numpy as np
        >>> photo, mosaic = Image.new("RGB", (30, 40)), Image.new("RGB", (96, 96))
        >>> maker = CloseViewMaker(CloseViewConfig(plain_share=0, jitter=0, margin=0.1))
        >>> maker(photo, mosaic, [10, 20, 30, 60], np.random.default_rng(0)).size
        (24, 48)
    """

    def __init__(self, config: CloseViewConfig | None = None):
        self.config = config or CloseViewConfig()

    def __call__(
        self, photo: Image.Image, mosaic: Image.Image, box: Sequence[float], rng: np.random.Generator
    ) -> Image.Image | None:
        """Make the close view of a pair.

        Args:
            photo: The listing photo.
            mosaic: The mosaic with the product.
            box: The product's box in the mosaic, `[x0, y0, x1, y1]` in pixels.
            rng: The only source of randomness. Every call draws the same numbers, whatever the shares are.

        Returns:
            The photo or a crop of the mosaic; None for a pair without a close view.
        """
        config = self.config
        shown, plain = rng.random(2) < (config.share, config.plain_share)
        shifts = rng.uniform(-config.jitter, config.jitter, size=4)
        if not shown:
            return None
        if plain:
            return photo
        x0, y0, x1, y1 = box
        sides = np.array([x1 - x0, y1 - y0] * 2)
        outward = np.array([-1, -1, 1, 1]) * config.margin
        x0, y0, x1, y1 = np.asarray(box) + sides * (outward + shifts)
        # Rounded outward first: the crop of a tiny product must not become the whole mosaic.
        return crop_to_box(mosaic, [math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)])
