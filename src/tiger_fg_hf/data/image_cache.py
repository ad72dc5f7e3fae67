"""Decoded listing photos and their mattes, kept in memory that forked workers share."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import psutil
from PIL import Image

from .boxes import scale_box
from .matte import object_matte

# Number of listings from which the memory for all of them is estimated.
_SAMPLE = 256


class ImageCache:
    """Decoded photos and their mattes in two flat arrays.

    Workers share the arrays; a list of images would be copied, page by page, into every worker.

    Args:
        listings: For each listing the RGB photo and its box `[x0, y0, x1, y1]` in pixels, or None.
        max_side: A photo whose longer side exceeds this many pixels is scaled down to it.
        total: How many listings there are.

    Raises:
        MemoryError: If all of them would take more memory than is free, estimated from the first ones.
    """

    def __init__(self, listings: Iterable[tuple[Image.Image, list[float] | None]], max_side: int, *, total: int):
        free = psutil.virtual_memory().available
        pixels, alphas = bytearray(), bytearray()
        starts, alpha_starts, shapes, boxes = [], [], [], []
        for image, box in listings:
            full = image.size
            if max(full) > max_side:
                image = image.copy()
                image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
            box = scale_box(box, (image.width / full[0], image.height / full[1]))
            matte = object_matte(image, box)
            starts.append(len(pixels))
            alpha_starts.append(-1 if matte is None else len(alphas))
            shapes.append((image.height, image.width))
            boxes.append(box or [math.nan] * 4)
            pixels += np.asarray(image).tobytes()
            alphas += b"" if matte is None else matte.tobytes()
            if len(starts) == _SAMPLE and (needed := (len(pixels) + len(alphas)) * total // _SAMPLE) > free:
                raise MemoryError(
                    f"{total:,} decoded photos take about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
                    "turn cache_decoded off to read them from the catalog each time"
                )
        self._pixels = np.frombuffer(pixels, np.uint8)
        self._alphas = np.frombuffer(alphas, np.uint8)
        self._starts, self._alpha_starts = np.array(starts, np.int64), np.array(alpha_starts, np.int64)
        self._shapes, self._boxes = np.array(shapes, np.int64), np.array(boxes)

    def __len__(self) -> int:
        return len(self._starts)

    def photo(self, index: int) -> tuple[np.ndarray, list[float] | None]:
        """Return a photo, `[H, W, 3]` uint8, and its box in pixels of this photo, or None without one."""
        height, width = self._shapes[index]
        start = self._starts[index]
        box = self._boxes[index].tolist()
        pixels = self._pixels[start : start + height * width * 3].reshape(height, width, 3)
        return pixels, None if math.isnan(box[0]) else box

    def matte(self, index: int) -> np.ndarray | None:
        """Return the matte of a photo, `[H, W]` uint8, or None where there is none."""
        height, width = self._shapes[index]
        start = self._alpha_starts[index]
        return None if start < 0 else self._alphas[start : start + height * width].reshape(height, width)
