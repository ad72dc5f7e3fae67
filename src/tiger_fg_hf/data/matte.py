"""Mattes of studio photos: which pixels show the object, and which the white background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

# The flood fill runs on a photo scaled to this size: small queries need no more detail.
_WORK_SIDE = 160
# Darkest channel and widest spread between channels that still count as white background (8-bit, with JPEG noise).
_WHITE_MIN = 238
_WHITE_SPREAD = 14
# A soft contact shadow is neutral, lighter than this, and changes little from one pixel to the next.
_SHADOW_MIN = 205
_SHADOW_SPREAD = 10
_SHADOW_STEP = 7
# Share of border pixels that must be white: a product may touch the border, but a scene fills it.
_BORDER_SHARE = 0.6
# An enclosed area is a gap (the hole of a ring, the space between legs) when it is wide and flat, pure white.
_GAP_MIN = 251
_GAP_RADIUS = 4
# Off-white pixels are object only where they connect to pixels at least this dark, or this colorful.
_SOLID_MAX = 205
_SOLID_SPREAD = 30
# The cut must follow an edge: along most of it, something within two pixels inside is darker than this.
_EDGE_MAX = 226
_MAX_WEAK_EDGE = 0.3
# Pixels up to this far from the background may be mixed with it; from this share of darkness on they are all object.
_RIM = 2
_FULL_SHARE = 0.7
# A matte outside these shares of the photo has failed: it keeps hardly anything, or removes hardly anything.
_MIN_OBJECT_SHARE = 0.015
_MAX_OBJECT_SHARE = 0.985
# A shadow flood that takes more than this share of the object has leaked into a pale product.
_MAX_SHADOW_SHARE = 0.15
# What is left of a shadow in a matte is neutral, smooth and at least this bright, and joins the background.
_VEIL_MIN = 120
_VEIL_SPREAD = 16
_VEIL_STEP = 11
# A veil of more than this share of the object is pale material, not shadow.
_MAX_VEIL_SHARE = 0.15
# A shadow fades out; pale material ends in an edge along more than this share of its outline.
_MAX_VEIL_EDGE = 0.35
# Pixels of at least this alpha count as visible.
VISIBLE_ALPHA = 32


def object_matte(image: Image.Image, box: Sequence[float] | None = None) -> np.ndarray | None:
    """Cut the object of a studio photo out of its white background.

    White pixels connected to the border are background. So are the soft gray shadow next to them, wide flat white
    gaps that the object encloses, and pale specks that touch nothing solid; a large pure-white label counts as such a
    gap. The edge is feathered and lies about half a pixel inside the silhouette, so that no white rim shows on a dark
    background.

    Args:
        image: The photo, of any PIL mode that converts to RGB.
        box: `[x0, y0, x1, y1]` in pixels of `image`; everything outside it is background.

    Returns:
        Alpha `[H, W]` uint8 of the size of `image` (255 object, 0 background). None if the border is not white, if the
        cut-out would be all or almost nothing of the photo, or if the cut follows no visible edge, as with white
        products.
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
    background = _with_gaps(background, darkest)
    background = _with_shadow(background, darkest, spread)
    solid = (darkest <= _SOLID_MAX) | (spread >= _SOLID_SPREAD)
    background = ~_flood_from(solid & ~background, ~background)
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
    if _weak_edge_share(background, darkest) > _MAX_WEAK_EDGE:
        return None
    alpha = Image.fromarray(_coverage(background, darkest))
    alpha = alpha.filter(ImageFilter.GaussianBlur(0.8)).point(_FEATHER)
    if alpha.size != rgb.size:
        alpha = alpha.resize(rgb.size, Image.Resampling.BILINEAR)
    return np.asarray(alpha)


def matte_extent(matte: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return the tight box `(x0, y0, x1, y1)` of the visible pixels of a matte `[H, W]`, or None without any."""
    return Image.fromarray((matte >= VISIBLE_ALPHA).astype(np.uint8)).getbbox()


def channel_extremes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest channel of each pixel of `[H, W, 3]`; faster than a reduction over axis 2."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def split_shadow(photo: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the shadow that a matte still contains from the object.

    A gray shadow on white is a translucent black layer: where the photo shows a level `v`, its alpha is `1 - v / 255`.

    Args:
        photo: Studio photo `[H, W, 3]` uint8.
        matte: Its matte `[H, W]` uint8 from `object_matte`.

    Returns:
        Alpha of the object and alpha of the shadow, both `[H, W]` uint8.
    """
    darkest, brightest = channel_extremes(photo)
    level = darkest.astype(np.int16)
    step = np.zeros_like(level)
    for axis in (0, 1):
        change = np.abs(np.diff(level, axis=axis))
        after, before = (slice(1, None), slice(None, -1))
        for side in (after, before):
            window = (side, slice(None)) if axis == 0 else (slice(None), side)
            np.maximum(step[window], change, out=step[window])
    outside = matte < VISIBLE_ALPHA
    pale = (darkest >= _VEIL_MIN) & (brightest - darkest <= _VEIL_SPREAD) & (step <= _VEIL_STEP)
    veil = _flood_from(outside, pale | outside) & ~outside
    rim = ~outside & ~_lowest_nearby(~outside, 1)
    faded = np.count_nonzero(rim & veil)
    edged = np.count_nonzero(rim & ~veil & ~_lowest_nearby(~veil, 2))
    too_much = veil.sum() > _MAX_VEIL_SHARE * np.count_nonzero(~outside)
    if too_much or edged > _MAX_VEIL_EDGE * (faded + edged):
        veil[:] = False
    return np.where(veil, np.uint8(0), matte), np.where(veil, 255 - darkest, np.uint8(0))


# Maps blurred coverage 0.4 .. 0.95 to alpha 0 .. 1: half-covered rim pixels contain white and become mostly clear.
_FEATHER = [round(255 * min(max((v / 255 - 0.4) / 0.55, 0.0), 1.0)) for v in range(256)]


def _coverage(background: np.ndarray, darkest: np.ndarray) -> np.ndarray:
    """Return how far each pixel shows the object, 0 to 255: less than 255 only at the rim, where white is mixed in.

    Parts too thin to have an inside, such as a chain, keep full coverage.
    """
    # The darkest pixel near the rim is all object; the brighter a rim pixel is, the more white it contains.
    object_only = np.where(background, np.uint8(255), darkest)
    full = 255 - _lowest_nearby(object_only, _RIM).astype(np.float32)
    share = ((255 - darkest.astype(np.float32)) / (_FULL_SHARE * full + 1)).clip(0, 1)
    outside = ~_lowest_nearby(~background, _RIM)
    thick = ~_lowest_nearby(outside, _RIM + 1)
    share[~outside | ~thick] = 1.0
    share[background] = 0.0
    return (255 * share).astype(np.uint8)


def _lowest_nearby(values: np.ndarray, radius: int) -> np.ndarray:
    """Return the least value of an array `[H, W]` in the square of side 2 radius + 1 around each pixel."""
    for _ in range(radius):
        lowest = values.copy()
        np.minimum(lowest[1:], values[:-1], out=lowest[1:])
        np.minimum(lowest[:-1], values[1:], out=lowest[:-1])
        values = lowest.copy()
        np.minimum(values[:, 1:], lowest[:, :-1], out=values[:, 1:])
        np.minimum(values[:, :-1], lowest[:, 1:], out=values[:, :-1])
    return values


def _border(mask: np.ndarray) -> np.ndarray:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _border_only(mask: np.ndarray) -> np.ndarray:
    seeds = mask.copy()
    seeds[1:-1, 1:-1] = False
    return seeds


def _with_gaps(background: np.ndarray, darkest: np.ndarray) -> np.ndarray:
    """Add wide, flat white areas that the object encloses."""
    flat = (darkest >= _GAP_MIN) & ~background
    core = Image.fromarray(flat.view(np.uint8) * 255).filter(ImageFilter.BoxBlur(_GAP_RADIUS))
    seeds = np.asarray(core) == 255
    if not seeds.any():
        return background
    return background | _flood_from(seeds, (darkest >= _WHITE_MIN) & ~background)


def _weak_edge_share(background: np.ndarray, darkest: np.ndarray) -> float:
    """Return the share of the cut where object and background look the same; it is high after a leak."""
    touching = np.zeros_like(background)
    touching[1:] |= background[:-1]
    touching[:-1] |= background[1:]
    touching[:, 1:] |= background[:, :-1]
    touching[:, :-1] |= background[:, 1:]
    y, x = np.nonzero(touching & ~background)
    if not len(y):
        return 0.0
    object_only = np.pad(np.where(background, np.uint8(255), darkest), 2, constant_values=255)
    patches = np.lib.stride_tricks.sliding_window_view(object_only, (5, 5))[y, x]
    return float((patches.min(axis=(1, 2)) > _EDGE_MAX).mean())


def _with_shadow(background: np.ndarray, darkest: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Grow the background over pale, neutral, smooth pixels, unless that takes much of the object."""
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
    """Flood `allowed` from `seeds`, both `[H, W]` bool, over pixels that share a side.

    PIL's flood fill visits pixels in Python, which is slow. Here every horizontal and vertical run of allowed pixels
    has a number, and each sweep marks whole runs, so that a few sweeps suffice.
    """
    reached = seeds & allowed
    rows = _run_numbers(allowed)
    columns = np.ascontiguousarray(_run_numbers(np.ascontiguousarray(allowed.T)).T)
    count = -1
    while (now := int(np.count_nonzero(reached))) != count:
        count = now
        for runs in (rows, columns):
            marked = np.zeros(runs[-1, -1] + 1, dtype=bool)
            marked[runs[reached]] = True
            reached = marked.take(runs) & allowed
    return reached


def _run_numbers(allowed: np.ndarray) -> np.ndarray:
    """Number the horizontal runs of True in a mask `[H, W]`; pixels outside them get the number of any run."""
    starts = allowed.copy()
    starts[:, 1:] &= ~allowed[:, :-1]
    return np.cumsum(starts.ravel(), dtype=np.intp).reshape(allowed.shape)
