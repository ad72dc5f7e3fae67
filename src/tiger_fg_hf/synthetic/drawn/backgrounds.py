"""Backdrops: studios and rooms for listings, and everyday surfaces for queries.

`STUDIO`, `ROOMS` and `SNAPSHOTS` have no backdrop in common, so a query never shares its backdrop with a listing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..streams import pick


@dataclass(frozen=True)
class Backdrop:
    """A backdrop.

    Attributes:
        image: RGB picture.
        horizon: Row where wall and floor meet; 0 if the picture is one surface seen from above.
    """

    image: Image.Image
    horizon: int = 0


BackdropDrawer = Callable[[int, np.random.Generator], Backdrop]

_PASTELS = ((240, 232, 224), (226, 234, 240), (236, 228, 238), (228, 238, 228), (246, 234, 226), (232, 232, 228))
_WALLS = ((214, 205, 192), (188, 200, 204), (206, 190, 184), (176, 188, 170), (222, 214, 204), (164, 172, 184))
_WOODS = ((176, 128, 84), (140, 98, 64), (204, 164, 118), (112, 82, 60), (190, 150, 116))
_CLOTHS = (
    (108, 122, 140),
    (150, 96, 92),
    (92, 112, 96),
    (178, 160, 140),
    (84, 84, 98),
    (196, 190, 186),
    (64, 92, 118),
)


def _picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))


def _ramp(size: int, top, bottom) -> np.ndarray:
    t = np.linspace(0.0, 1.0, size, dtype=np.float32)[:, None, None]
    rows = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    return np.repeat(rows, size, axis=1)


def _noise(size: int, rng: np.random.Generator, cells_y: int, cells_x: int) -> np.ndarray:
    """Return smooth noise of shape (size, size, 1) and about unit variance."""
    coarse = Image.fromarray(rng.standard_normal((cells_y, cells_x)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))[..., None]


def _vignette(size: int, strength: float) -> np.ndarray:
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    return (1.0 - strength * (axis[None, :] ** 2 + axis[:, None] ** 2) / 2.0)[..., None]


# Studio ------------------------------------------------------------------------------------------------------------


def _white(size: int, rng: np.random.Generator) -> Backdrop:
    return Backdrop(_picture(_ramp(size, (255, 255, 255), (255, 255, 255) if rng.random() < 0.6 else (246, 246, 247))))


def _sweep(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, _PASTELS), np.float32)
    return Backdrop(_picture(_ramp(size, color + 10, color - 8) * _vignette(size, 0.04)))


def _pastel(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, _PASTELS), np.float32)
    horizon = int(size * rng.uniform(0.66, 0.76))
    array = _ramp(size, color, color + 6)
    array[horizon:] = _ramp(size, color - 16, color - 4)[: size - horizon]
    # A soft line where the wall meets the table, as on a paper sweep.
    array[horizon - 2 : horizon + 2] = color - 8
    return Backdrop(_picture(array))


def _shelf(size: int, rng: np.random.Generator) -> Backdrop:
    wall = np.array(pick(rng, _PASTELS), np.float32)
    array = _ramp(size, wall + 6, wall - 4)
    horizon = int(size * rng.uniform(0.72, 0.78))
    array[horizon:] = _boards(size, rng, size - horizon, pick(rng, _WOODS))
    return Backdrop(_picture(array))


# Rooms -------------------------------------------------------------------------------------------------------------


def _boards(size: int, rng: np.random.Generator, height: int, color) -> np.ndarray:
    grain = _noise(size, rng, 26, 4)[:height] * 7.0 + _noise(size, rng, 60, 3)[:height] * 4.0
    shade = np.linspace(0.86, 1.1, height, dtype=np.float32)[:, None, None]
    return (np.asarray(color, np.float32) + grain) * shade


def _living_room(size: int, rng: np.random.Generator) -> Backdrop:
    wall = np.array(pick(rng, _WALLS), np.float32)
    array = _ramp(size, wall * 1.06, wall * 0.92)
    horizon = int(size * rng.uniform(0.6, 0.74))
    floor = _boards(size, rng, size - horizon, pick(rng, _WOODS))
    array[horizon:] = floor
    skirting = max(2, size // 40)
    array[horizon - skirting : horizon] = 238
    picture = _picture(array)
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.6:
        x, y, w, h = (int(size * v) for v in (rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.18), 0.3, 0.26))
        draw.rectangle((x, y, x + w, y + h), fill=(96, 78, 62))
        art = tuple(int(v) for v in rng.integers(120, 235, 3))
        edge = max(2, size // 60)
        draw.rectangle((x + edge, y + edge, x + w - edge, y + h - edge), fill=art)
        draw.ellipse((x + w * 0.3, y + h * 0.3, x + w * 0.7, y + h * 0.7), fill=tuple(int(v * 0.75) for v in art))
    else:
        x, w = int(size * rng.uniform(0.1, 0.6)), int(size * 0.32)
        draw.rectangle((x, 0, x + w, int(horizon * 0.7)), fill=(250, 250, 246))
        draw.rectangle((x + 3, 0, x + w - 3, int(horizon * 0.7) - 3), fill=(204, 226, 240))
        draw.line((x + w // 2, 0, x + w // 2, int(horizon * 0.7)), fill=(250, 250, 246), width=max(2, size // 60))
    return Backdrop(picture, horizon)


def _kitchen(size: int, rng: np.random.Generator) -> Backdrop:
    tile = np.array(pick(rng, ((236, 238, 236), (214, 228, 226), (238, 226, 210), (206, 216, 230))), np.float32)
    array = _ramp(size, tile, tile * 0.94)
    step = max(8, int(size * rng.uniform(0.12, 0.18)))
    array[::step] *= 0.9
    for row in range(0, size, step):
        offset = step // 2 if (row // step) % 2 else 0
        array[row : row + step, offset::step] *= 0.9
    horizon = int(size * rng.uniform(0.62, 0.74))
    array[horizon:] = _boards(size, rng, size - horizon, pick(rng, _WOODS))
    array[horizon : horizon + max(2, size // 50)] *= 1.12
    return Backdrop(_picture(array), horizon)


def _marble(size: int, rng: np.random.Generator) -> Backdrop:
    axis = np.linspace(0.0, 1.0, size, dtype=np.float32)
    slant = (axis[None, :, None] * rng.uniform(1.5, 3.0) + axis[:, None, None] * rng.uniform(1.0, 2.5)) * np.pi
    warp = 1.3 * _noise(size, rng, 5, 5) + 0.5 * _noise(size, rng, 12, 12)
    veins = np.exp(-9.0 * np.abs(np.sin(slant + warp)))
    return Backdrop(_picture(238.0 - 42.0 * veins * (1.0, 0.97, 0.92) + 3.0 * _noise(size, rng, 4, 4)))


def _plaster(size: int, rng: np.random.Generator) -> Backdrop:
    wall = np.array(pick(rng, _WALLS), np.float32)
    array = _ramp(size, wall, wall * 0.95) + _noise(size, rng, 9, 9) * 3.0
    horizon = int(size * rng.uniform(0.62, 0.76))
    array[horizon:] = _ramp(size, wall * 0.8, wall * 0.92)[: size - horizon]
    return Backdrop(_picture(array * _vignette(size, 0.12)), horizon)


def _rug(size: int, rng: np.random.Generator) -> Backdrop:
    array = _boards(size, rng, size, pick(rng, _WOODS))
    picture = _picture(array)
    draw = ImageDraw.Draw(picture)
    color = np.array(pick(rng, _CLOTHS))
    inset = int(size * rng.uniform(0.04, 0.12))
    for i, tone in enumerate((0.8, 1.15, 0.95, 1.05)):
        edge = inset + i * max(3, size // 26)
        draw.rectangle((edge, edge, size - edge, size - edge), fill=tuple(int(min(255, v * tone)) for v in color))
    return Backdrop(picture)


def _brick(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, ((168, 98, 80), (196, 182, 168), (142, 110, 96))), np.float32)
    array = _ramp(size, color, color * 0.92) + _noise(size, rng, 20, 10) * 7.0
    step = max(6, size // 12)
    for row in range(0, size, step):
        array[row : row + 2] = color * 1.22
        array[row : row + step, (step if (row // step) % 2 else 0) :: 2 * step] = color * 1.22
    horizon = int(size * rng.uniform(0.7, 0.8))
    array[horizon:] = _boards(size, rng, size - horizon, pick(rng, _WOODS))
    return Backdrop(_picture(array), horizon)


# Snapshots ---------------------------------------------------------------------------------------------------------


def _desk(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, ((92, 86, 84), (214, 210, 204), (70, 76, 88), (160, 132, 108))), np.float32)
    picture = _picture(_ramp(size, color * 1.05, color * 0.95) + _noise(size, rng, 40, 2) * 3.0)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-0.3, 0.9, 2) * size
        w, h = rng.uniform(0.3, 0.7, 2) * size
        turn = rng.uniform(-0.5, 0.5)
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)]) @ [
            [np.cos(turn), np.sin(turn)],
            [-np.sin(turn), np.cos(turn)],
        ]
        fill = pick(rng, ((240, 240, 234), (40, 42, 46), (190, 206, 220), (226, 206, 150)))
        draw.polygon((corners + np.array([x, y])).ravel().tolist(), fill=fill)
    return Backdrop(picture.filter(ImageFilter.GaussianBlur(size * 0.012)))


def _carpet(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, _CLOTHS), np.float32)
    speck = rng.standard_normal((size, size, 1)).astype(np.float32) * 11.0
    return Backdrop(_picture(color + speck + _noise(size, rng, 5, 5) * 8.0))


def _bedsheet(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, ((228, 226, 224), (196, 206, 216), (222, 206, 200), (150, 164, 178))), np.float32)
    folds = _noise(size, rng, 4, 7)
    return Backdrop(_picture(color + 16.0 * np.gradient(folds[..., 0], axis=1)[..., None] * size / 10.0 + folds * 6.0))


def _grass(size: int, rng: np.random.Generator) -> Backdrop:
    blades = rng.standard_normal((size // 3 + 1, size)).astype(np.float32)
    blades = np.asarray(Image.fromarray(blades).resize((size, size), Image.Resampling.BILINEAR))[..., None]
    return Backdrop(
        _picture(np.array((84.0, 128.0, 62.0)) + blades * (20.0, 24.0, 12.0) + _noise(size, rng, 5, 5) * 10.0)
    )


def _pavement(size: int, rng: np.random.Generator) -> Backdrop:
    array = 140.0 + rng.standard_normal((size, size, 1)) * 9.0 + _noise(size, rng, 6, 6) * 8.0 + np.zeros(3)
    step = int(size * rng.uniform(0.45, 0.7))
    offset = int(rng.integers(step))
    array[offset::step] -= 40
    array[:, offset // 2 :: step] -= 36
    return Backdrop(_picture(array * np.array((1.02, 1.0, 0.96))))


def _blurred_room(size: int, rng: np.random.Generator) -> Backdrop:
    coarse = rng.uniform(50.0, 210.0, (4, 4, 1)) + rng.uniform(-30.0, 30.0, (4, 4, 3))
    picture = _picture(coarse).resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(6):
        x, y, r = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0.03, 0.12) * size
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 240, 210, 60))
    return Backdrop(picture.filter(ImageFilter.GaussianBlur(size * 0.03)))


def _checked_cloth(size: int, rng: np.random.Generator) -> Backdrop:
    color = np.array(pick(rng, _CLOTHS), np.float32)
    turn = rng.uniform(-0.6, 0.6)
    axis = np.arange(size) / size * rng.uniform(5.0, 9.0)
    x = axis[None, :] * np.cos(turn) + axis[:, None] * np.sin(turn)
    y = axis[:, None] * np.cos(turn) - axis[None, :] * np.sin(turn)
    lines = (np.floor(x) % 2 + np.floor(y) % 2)[..., None] / 2.0
    return Backdrop(_picture(color + (240.0 - color) * 0.65 * lines + _noise(size, rng, 5, 5) * 7.0))


#: Backdrops of clean listings; the first is plain white.
STUDIO: tuple[BackdropDrawer, ...] = (_white, _sweep, _pastel, _shelf)
#: Backdrops of cluttered listings.
ROOMS: tuple[BackdropDrawer, ...] = (_living_room, _kitchen, _marble, _plaster, _rug, _brick)
#: Those of both, plain white and the framed rug aside, that a product can stand in front of, and lie on.
STANDING: tuple[BackdropDrawer, ...] = (_sweep, _pastel, _shelf, _living_room, _kitchen, _plaster, _brick)
LYING: tuple[BackdropDrawer, ...] = (_sweep, _marble)
#: Backdrops of query pictures.
SNAPSHOTS: tuple[BackdropDrawer, ...] = (_desk, _carpet, _bedsheet, _grass, _pavement, _blurred_room, _checked_cloth)
