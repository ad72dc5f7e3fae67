"""Mosaics: listing pictures that show a product among products of other categories, each with its box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..synthetic.drawn.overlays import draw_overlays
from .boxes import clip_box
from .clutter import ClutterBank, drawn_clutter
from .compositing import cast_shadow, color_matrix
from .draws import Range, check_draws
from .matte import VISIBLE_ALPHA, matte_extent

# Boxes may fill this share of the canvas together: beyond it they hardly find places that differ.
_MAX_FILL = 0.75
# Places tried for one product before all products shrink by a step, down to the smallest area and, at last, below.
_PLACES = 48
_SHRINK = 0.85
_OVERLAY_TRIES = 3


@dataclass(frozen=True)
class MosaicConfig:
    """How mosaics are composed. Ranges are drawn from uniformly, unless said; probabilities are in [0, 1].

    Attributes:
        size: side of the square canvas in pixels.
        area: area of a product's box as a share of the canvas, drawn log-uniformly. Where the products do not fit,
            those above the lower bound shrink, then all. A long thin product may stay below it, to fit the canvas.
        max_overlap: largest share of a product's box that the boxes of the others cover together.
        flip_probability: how often a product is mirrored left to right.
        rotation_probability, rotation: how often, and by up to how many degrees either way, a cut-out is rotated.
        shadow_probability, shadow_strength: how often, and how dark in [0, 1], a product shades what is behind it.
        relight_probability: how often the following three apply to a product.
        brightness, contrast, saturation: factors, 1 changes nothing.
        overlay_probability, overlay_level: how often promotional overlays are drawn, and how many (see
            `draw_overlays`). Overlays that change more than `max_overlap` of a product's box are left out.
    """

    size: int = 128
    area: Range = (0.05, 0.45)
    max_overlap: float = 0.15
    flip_probability: float = 0.5
    rotation_probability: float = 0.5
    rotation: float = 10.0
    shadow_probability: float = 0.5
    shadow_strength: Range = (0.1, 0.4)
    relight_probability: float = 0.8
    brightness: Range = (0.85, 1.12)
    contrast: Range = (0.9, 1.1)
    saturation: Range = (0.85, 1.15)
    overlay_probability: float = 0.0
    overlay_level: int = 2

    def __post_init__(self) -> None:
        check_draws(self)
        if self.size < 16:
            raise ValueError(f"size: expected at least 16 pixels, found {self.size}")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area: expected a range within (0, 1], found {self.area}")
        if not 0 <= self.max_overlap < 1:
            raise ValueError(f"max_overlap: expected a share in [0, 1), found {self.max_overlap}")
        if not 0 <= self.rotation <= 45:
            raise ValueError(f"rotation: expected 0 to 45 degrees, found {self.rotation}")
        if not 0 <= self.overlay_level <= 5:
            raise ValueError(f"overlay_level: expected 0 to 5, found {self.overlay_level}")


class Product(NamedTuple):
    """A product as it enters a mosaic.

    Attributes:
        photo: its listing photo, `[H, W, 3]` uint8.
        alpha: its matte, `[H, W]` uint8 as of `object_matte`, or None.
        box: `[x0, y0, x1, y1]` in pixels of the photo, or None. Counts only where there is no matte: then the box, or
            the whole photo without one, is pasted as a rectangle.
    """

    photo: np.ndarray
    alpha: np.ndarray | None = None
    box: Sequence[float] | None = None


@dataclass(frozen=True)
class Mosaic:
    """A mosaic and where its products are, in the order in which they were given.

    Attributes:
        image: RGB, `size` x `size` pixels.
        boxes: tight box `[x0, y0, x1, y1]` of each product in pixels, with what other products hide of it.
        flipped: which products are mirrored.
    """

    image: Image.Image
    boxes: list[list[float]]
    flipped: list[bool]


class MosaicComposer:
    """Paste products on clutter: any place, size and order, with bounded overlap.

    Args:
        config: sizes, bounds and probabilities.
        clutter: backgrounds, from the `"item"` pool of `clutter_pool`. Without any they are drawn.
    """

    def __init__(self, config: MosaicConfig | None = None, clutter: ClutterBank | None = None):
        self.config = config or MosaicConfig()
        self.clutter = clutter

    def __call__(self, products: Sequence[Product], rng: np.random.Generator) -> Mosaic:
        """Compose one mosaic.

        Args:
            products: what to show, of different categories.
            rng: the only source of randomness: the same products and generator state give the same mosaic.

        Raises:
            ValueError: if there are no products.
        """
        if not products:
            raise ValueError("products: expected at least one, found none")
        config = self.config
        size = (config.size, config.size)
        flips = [bool(flip) for flip in rng.random(len(products)) < config.flip_probability]
        pieces = [self._piece(product, flip, rng) for product, flip in zip(products, flips, strict=True)]
        boxes = self._place(np.array([piece.extent for piece in pieces]), rng)
        image = self.clutter.sample(rng, size) if self.clutter is not None else drawn_clutter(rng, size)
        for index in rng.permutation(len(pieces)):
            self._paste(image, pieces[index], boxes[index], rng)
        if config.overlay_level and rng.random() < config.overlay_probability:
            image = self._with_overlays(image, boxes, rng)
        return Mosaic(image, [[float(side) for side in box] for box in boxes], flips)

    def _piece(self, product: Product, flip: bool, rng: np.random.Generator) -> _Piece:
        config = self.config
        turn = rng.random() < config.rotation_probability
        angle = math.radians(rng.uniform(-config.rotation, config.rotation)) if turn else 0.0
        if product.alpha is not None:
            extent = matte_extent(product.alpha)
            if extent is not None:
                left, top, right, bottom = extent
                window = slice(top, bottom), slice(left, right)
                image = Image.fromarray(np.ascontiguousarray(product.photo[window]))
                image.putalpha(Image.fromarray(np.ascontiguousarray(product.alpha[window])))
                low, high = _turned_extent(product.alpha[window] >= VISIBLE_ALPHA, angle)
                return _Piece(image.convert("RGBa"), flip, angle, low, high - low)
        height, width = product.photo.shape[:2]
        x0, y0, x1, y1 = clip_box(product.box, (width, height))
        card = product.photo[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)]
        image = Image.fromarray(np.ascontiguousarray(card))
        return _Piece(image, flip, 0.0, np.zeros(2), np.array([image.width, image.height], float))

    def _place(self, extents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw boxes for products whose (width, height) are `extents`, up to scale: `[N, 4]` whole pixels."""
        size, (smallest, largest) = self.config.size, self.config.area
        areas = np.exp(rng.uniform(math.log(smallest), math.log(largest), size=len(extents)))
        while True:
            if areas.sum() <= _MAX_FILL or len(areas) == 1:
                scale = np.sqrt(areas * size**2 / extents.prod(axis=1))
                scale = np.minimum(scale, size / extents.max(axis=1))
                sides = np.clip(np.rint(extents * scale[:, None]), 1, size).astype(int)
                boxes = self._try_places(sides, rng)
                if boxes is not None:
                    return boxes
            # First the large ones give way: what is small already would become invisible.
            can_shrink = areas > smallest
            shrunk = areas * _SHRINK
            areas = np.where(can_shrink, np.maximum(shrunk, smallest), areas) if can_shrink.any() else shrunk

    def _try_places(self, sides: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Place boxes of (width, height) `sides` one by one, large ones first; None when one finds no place."""
        areas = sides.prod(axis=1)
        order = np.argsort(-areas, kind="stable")
        boxes = np.zeros((len(sides), 4), int)
        allowed = self.config.max_overlap * areas.astype(float)  # what may still be covered of each, in pixels
        for count, index in enumerate(order):
            corners = (rng.random((_PLACES, 2)) * (self.config.size - sides[index] + 1)).astype(int)
            places = np.concatenate([corners, corners + sides[index]], axis=1)
            before = order[:count]
            overlap = _overlaps(places, boxes[before])
            # The sum of pairwise overlaps is at least what is covered, so that the bound holds whatever their union.
            fits = (overlap <= allowed[before]).all(axis=1) & (overlap.sum(axis=1) <= allowed[index])
            if not fits.any():
                return None
            place = int(np.argmax(fits))
            boxes[index] = places[place]
            allowed[before] -= overlap[place]
            allowed[index] -= overlap[place].sum()
        return boxes

    def _paste(self, image: Image.Image, piece: _Piece, box: np.ndarray, rng: np.random.Generator) -> None:
        config = self.config
        x0, y0, x1, y1 = box.tolist()
        pasted = piece.render((x1 - x0, y1 - y0))
        alpha = pasted.getchannel("A") if pasted.mode == "RGBA" else Image.new("L", pasted.size, 255)
        if rng.random() < config.shadow_probability:
            cast_shadow(image, alpha, rng.uniform(*config.shadow_strength), rng, at=(x0, y0))
        pasted = pasted.convert("RGB")
        if rng.random() < config.relight_probability:
            matrix = color_matrix(
                brightness=rng.uniform(*config.brightness),
                contrast=rng.uniform(*config.contrast),
                saturation=rng.uniform(*config.saturation),
            )
            pasted = pasted.convert("RGB", matrix)
        image.paste(pasted, (x0, y0), alpha)

    def _with_overlays(self, image: Image.Image, boxes: np.ndarray, rng: np.random.Generator) -> Image.Image:
        plain = np.asarray(image)
        for _ in range(_OVERLAY_TRIES):
            covered = draw_overlays(image, rng, level=self.config.overlay_level)
            changed = (np.asarray(covered) != plain).any(axis=-1)
            if all(changed[y0:y1, x0:x1].mean() <= self.config.max_overlap for x0, y0, x1, y1 in boxes):
                return covered
        return image


@dataclass(frozen=True)
class _Piece:
    """A product cropped to what is visible, and the window of its turned plane that it fills.

    Attributes:
        image: RGB for a rectangle, RGBa (premultiplied, which resampling needs) for a cut-out.
        flip: whether it is to be mirrored, after the turn.
        angle: turn in radians.
        low, extent: upper left corner (x, y) and (width, height) of the window, in pixels of `image` from its centre.
    """

    image: Image.Image
    flip: bool
    angle: float
    low: np.ndarray
    extent: np.ndarray

    def render(self, size: tuple[int, int]) -> Image.Image:
        """Scale, turn and mirror the product so that its window fills `size` (width, height): RGB or RGBA."""
        image = self._turned(size)
        if self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.convert("RGBA") if image.mode == "RGBa" else image

    def _turned(self, size: tuple[int, int]) -> Image.Image:
        if not self.angle:
            return self.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=1.5)
        # A transform does not average over the pixels that it skips, so the image is scaled first.
        scale = math.sqrt(size[0] * size[1] / self.extent.prod())
        image = self.image
        if scale < 1:
            small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(small, Image.Resampling.BICUBIC, reducing_gap=1.5)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        # From an output pixel to the window, turned back, to a pixel of the scaled image.
        across, down = self.extent / size
        ratio_x, ratio_y = image.width / self.image.width, image.height / self.image.height
        left, top = self.low
        matrix = (
            ratio_x * cosine * across,
            ratio_x * sine * down,
            ratio_x * (cosine * left + sine * top) + image.width / 2,
            -ratio_y * sine * across,
            ratio_y * cosine * down,
            ratio_y * (cosine * top - sine * left) + image.height / 2,
        )
        return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _turned_extent(visible: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper bounds (x, y) of the visible pixels turned about the centre by `angle` radians."""
    height, width = visible.shape
    if not angle:
        return np.array([-width / 2, -height / 2]), np.array([width / 2, height / 2])
    # The ends of each row hold the outline's extremes in every direction.
    first, last = visible.argmax(axis=1), width - visible[:, ::-1].argmax(axis=1)
    rows = np.flatnonzero(visible.any(axis=1))
    x = np.concatenate([first[rows], last[rows]] * 2) - width / 2
    y = np.concatenate([rows, rows, rows + 1, rows + 1]) - height / 2
    turned = np.stack([math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y], axis=1)
    return turned.min(axis=0), turned.max(axis=0)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the areas in which boxes `[N, 4]` and `[M, 4]` overlap, `[N, M]`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(0).prod(axis=-1)
