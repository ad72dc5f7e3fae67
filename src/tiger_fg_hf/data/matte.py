"""A white-background matte: which pixels of a studio photo show the object and which the backdrop."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


# The flood runs at this size: silhouettes of small queries need no more, and larger photos would only cost time.
_WORK_SIDE = 256
# Darkest channel and widest spread between channels that still count as white backdrop (8-bit, JPEG noise included).
_WHITE_MIN = 238
_WHITE_SPREAD = 14
# A soft contact shadow is neutral, lighter than this, and changes by little from one pixel to the next.
_SHADOW_MIN = 205
_SHADOW_SPREAD = 10
_SHADOW_STEP = 7
# Share of border pixels that must be white: a product may touch the border, a scene fills it.
_BORDER_SHARE = 0.6
# Outside these shares of the photo a matte has failed: nothing cut out, or hardly anything left.
_MIN_OBJECT_SHARE = 0.015
_MAX_OBJECT_SHARE = 0.985
# A shadow flood that takes more than this share of the object has leaked into a pale product.
_MAX_SHADOW_SHARE = 0.15


def object_matte(image: Image.Image, box: tuple[float, float, float, float] | None = None) -> np.ndarray | None:
    """Cut the object of a studio photo out of its white background.

    White pixels connected to the border are background, and so is the soft grey shadow that continues them; white
    areas enclosed by the object stay object, because labels and soles look just the same as gaps. The edge is feathered
    and lies about half a pixel inside the silhouette, so that no white rim shows on a dark background.

    Args:
        image: the photo, any PIL mode that converts to RGB.
        box: `[x0, y0, x1, y1]` in pixels of `image`; everything outside it is background.

    Returns:
        `(H, W)` uint8 alpha of the size of `image` (255 object, 0 background), or None when the border is not white,
        or when the cut-out would be all or next to nothing of the photo. Callers then use the box or the whole photo.
    """
    rgb = image.convert("RGB")
    work = rgb.copy()
    work.thumbnail((_WORK_SIDE, _WORK_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(work)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    darkest = np.minimum(np.minimum(red, green), blue)
    spread = np.maximum(np.maximum(red, green), blue) - darkest

    white = (darkest >= _WHITE_MIN) & (spread <= _WHITE_SPREAD)
    if _border(white).mean() < _BORDER_SHARE:
        return None
    background = _flood_from(_border_only(white), white)
    background = _with_shadow(background, darkest, spread)
    if box is not None:
        scale_x, scale_y = work.width / rgb.width, work.height / rgb.height
        x0, y0 = int(box[0] * scale_x), int(box[1] * scale_y)
        x1, y1 = int(np.ceil(box[2] * scale_x)), int(np.ceil(box[3] * scale_y))
        inside = np.zeros_like(background)
        inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
        background |= ~inside
    share = 1.0 - background.mean()
    if not _MIN_OBJECT_SHARE <= share <= _MAX_OBJECT_SHARE:
        return None
    alpha = Image.fromarray(np.where(background, 0, 255).astype(np.uint8))
    alpha = alpha.filter(ImageFilter.GaussianBlur(0.8)).point(_FEATHER)
    if alpha.size != rgb.size:
        alpha = alpha.resize(rgb.size, Image.Resampling.BILINEAR)
    return np.asarray(alpha)


# Blurred coverage 0.4 .. 0.95 → alpha 0 .. 1: the half-covered rim pixels, which hold white, become mostly clear.
_FEATHER = [round(255 * min(max((v / 255 - 0.4) / 0.55, 0.0), 1.0)) for v in range(256)]


def _border(mask: np.ndarray) -> np.ndarray:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _border_only(mask: np.ndarray) -> np.ndarray:
    seeds = mask.copy()
    seeds[1:-1, 1:-1] = False
    return seeds


def _with_shadow(background: np.ndarray, darkest: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Grow the background over pale, neutral, smooth pixels; give up when that eats into the object."""
    level = darkest.astype(np.int16)
    step = np.zeros_like(level)
    across = np.abs(np.diff(level, axis=1))
    down = np.abs(np.diff(level, axis=0))
    np.maximum(step[:, 1:], across, out=step[:, 1:])
    np.maximum(step[:, :-1], across, out=step[:, :-1])
    np.maximum(step[1:], down, out=step[1:])
    np.maximum(step[:-1], down, out=step[:-1])
    smooth = (darkest >= _SHADOW_MIN) & (spread <= _SHADOW_SPREAD) & (step <= _SHADOW_STEP)
    grown = _flood_from(background, smooth | background)
    object_area = background.size - np.count_nonzero(background)
    taken = np.count_nonzero(grown) - np.count_nonzero(background)
    return grown if taken <= _MAX_SHADOW_SHARE * object_area else background


def _flood_from(seeds: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """4-connected flood of `allowed` from `seeds`, both (H, W) bool.

    PIL's flood fill walks pixels in Python. Here every horizontal and vertical run of allowed pixels has a number, and
    a sweep marks whole runs; a few sweeps settle even spirals at product-photo size.
    """
    reached = seeds & allowed
    rows = _run_numbers(allowed)
    columns = np.ascontiguousarray(_run_numbers(np.ascontiguousarray(allowed.T)).T)
    count = -1
    while (now := np.count_nonzero(reached)) != count:
        count = now
        for runs in (rows, columns):
            marked = np.zeros(runs.max() + 1, dtype=bool)
            marked[runs[reached]] = True
            reached = marked[runs] & allowed
    return reached


def _run_numbers(allowed: np.ndarray) -> np.ndarray:
    """Number the horizontal runs of True in a (H, W) mask; pixels outside a run carry the number of some run."""
    starts = allowed.copy()
    starts[:, 1:] &= ~allowed[:, :-1]
    return np.cumsum(starts.ravel(), dtype=np.int32).reshape(allowed.shape)
