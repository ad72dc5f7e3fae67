"""Mosaics: listing pictures that show a product among products of other categories, each with its box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image

from ..synthetic.backdrops import Backgrounds, DrawnClutter
from ..synthetic.compositing import draw_color_matrix, drop_shadow
from ..synthetic.overlays import draw_stickers
from .boxes import clip_box
from .draws import DrawConfig, Range
from .matte import VISIBLE_ALPHA, matte_extent

# Largest share of the canvas that boxes fill together: above it, few arrangements are left.
_MAX_FILL = 0.75
# Places to try for a product before all products shrink by a step.
_PLACES = 48
_SHRINK = 0.85
_OVERLAY_TRIES = 3


@dataclass(frozen=True)
class MosaicConfig(DrawConfig):
    """How mosaics are composed. Ranges are drawn from uniformly unless stated; probabilities are in [0, 1].

    Attributes:
        size: Side of the square canvas in pixels.
        area: Area of a product's box as a share of the canvas, drawn log-uniformly. If the products do not fit,
            those above the lower bound shrink first, then all of them. A long, thin product may be smaller, to fit
            the canvas.
        max_overlap: Largest share of a product's box that the boxes of the others cover together.
        flip_probability: How often a product is mirrored left to right.
        rotation_probability: How often a cut-out is rotated.
        rotation: Largest rotation either way, in degrees.
        shadow_probability: How often a product casts a shadow on what is behind it.
        shadow_strength: How dark that shadow is, in [0, 1].
        relight_probability: How often the following three apply to a product.
        brightness: Factor; 1 changes nothing.
        contrast: Factor; 1 changes nothing.
        saturation: Factor; 1 changes nothing.
        overlay_probability: How often promotional overlays are drawn (see `draw_stickers`). If they change more than
            `max_overlap` of a product's box, they are drawn again, and left out after a few tries.
        overlay_level: Number of overlays to try, from 0 to 5.
    """

    size: Annotated[int, "[16, inf)"] = 128
    area: Annotated[Range, "(0, 1]"] = (0.05, 0.45)
    max_overlap: Annotated[float, "[0, 1)"] = 0.15
    flip_probability: float = 0.5
    rotation_probability: float = 0.5
    rotation: Annotated[float, "[0, 45]"] = 10.0
    shadow_probability: float = 0.5
    shadow_strength: Range = (0.1, 0.4)
    relight_probability: float = 0.8
    brightness: Range = (0.85, 1.12)
    contrast: Range = (0.9, 1.1)
    saturation: Range = (0.85, 1.15)
    overlay_probability: float = 0.0
    overlay_level: Annotated[int, "[0, 5]"] = 2


class Product(NamedTuple):
    """A product to show in a mosaic.

    Attributes:
        photo: Its listing photo, `[H, W, 3]` uint8.
        alpha: Its matte, `[H, W]` uint8 from `object_matte`, or None.
        box: `[x0, y0, x1, y1]` in pixels of the photo, or None. Used only without a matte: then the box, or else the
            whole photo, is pasted as a rectangle.
    """

    photo: np.ndarray
    alpha: np.ndarray | None = None
    box: Sequence[float] | None = None


@dataclass(frozen=True)
class Mosaic:
    """A mosaic and where its products are, in the order in which they were given.

    Attributes:
        image: RGB, `size` x `size` pixels.
        boxes: Tight box `[x0, y0, x1, y1]` of each product in pixels, including what other products hide of it.
        flipped: Which products are mirrored.
    """

    image: Image.Image
    boxes: list[list[float]]
    flipped: list[bool]


class MosaicComposer:
    """Paste products on a background with random places, sizes and order, and bounded overlap.

    Args:
        config: Sizes, bounds and probabilities; the defaults of `MosaicConfig` if None.
        clutter: Backgrounds, such as a `ClutterBank` of the `"item"` pool of `clutter_pool`; drawn if None.

    Example:
        >>> import numpy as np
        >>> photos = [np.full((40, 30, 3), level, np.uint8) for level in (60, 120)]
        >>> composer = MosaicComposer(MosaicConfig(size=64))
        >>> mosaic = composer([Product(photo) for photo in photos], np.random.default_rng(0))
        >>> mosaic.image.size, len(mosaic.boxes)
        ((64, 64), 2)
    """

    def __init__(self, config: MosaicConfig | None = None, clutter: Backgrounds | None = None):
        self.config = config or MosaicConfig()
        self.clutter = DrawnClutter() if clutter is None else clutter

    def __call__(self, products: Sequence[Product], rng: np.random.Generator) -> Mosaic:
        """Compose one mosaic.

        Args:
            products: What to show, of different categories.
            rng: The only source of randomness: the same products and generator state give the same mosaic.

        Raises:
            ValueError: If there are no products.
        """
        if not products:
            raise ValueError("products: expected at least one, found none")
        config = self.config
        size = (config.size, config.size)
        flips = [bool(flip) for flip in rng.random(len(products)) < config.flip_probability]
        pieces = [self._piece(product, flip, rng) for product, flip in zip(products, flips, strict=True)]
        boxes = self._place(np.array([piece.extent for piece in pieces]), rng)
        image = self.clutter.sample(rng, size)
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
                low, high = _rotated_extent(product.alpha[window] >= VISIBLE_ALPHA, angle)
                return _Piece(image.convert("RGBa"), flip, angle, low, high - low)
        height, width = product.photo.shape[:2]
        x0, y0, x1, y1 = clip_box(product.box, (width, height))
        card = product.photo[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)]
        image = Image.fromarray(np.ascontiguousarray(card))
        return _Piece(image, flip, 0.0, np.zeros(2), np.array([image.width, image.height], float))

    def _place(self, extents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw boxes `[N, 4]` in whole pixels for products of (width, height) `extents` `[N, 2]`, up to scale."""
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
            # Large products shrink first: small ones would become invisible.
            can_shrink = areas > smallest
            shrunk = areas * _SHRINK
            areas = np.where(can_shrink, np.maximum(shrunk, smallest), areas) if can_shrink.any() else shrunk

    def _try_places(self, sides: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Place boxes of (width, height) `sides` in turn, large ones first; return None if one does not fit."""
        areas = sides.prod(axis=1)
        order = np.argsort(-areas, kind="stable")
        boxes = np.zeros((len(sides), 4), int)
        allowed = self.config.max_overlap * areas.astype(float)  # pixels of each that may still be covered
        for count, index in enumerate(order):
            corners = (rng.random((_PLACES, 2)) * (self.config.size - sides[index] + 1)).astype(int)
            places = np.concatenate([corners, corners + sides[index]], axis=1)
            before = order[:count]
            overlap = _overlaps(places, boxes[before])
            # Pairwise overlaps add up to at least the covered area, so a bound on their sum bounds it too.
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
            drop_shadow(image, alpha, rng.uniform(*config.shadow_strength), rng, at=(x0, y0))
        pasted = pasted.convert("RGB")
        if rng.random() < config.relight_probability:
            light = draw_color_matrix(config, rng, "brightness", "contrast", "saturation")
            pasted = pasted.convert("RGB", light)
        image.paste(pasted, (x0, y0), alpha)

    def _with_overlays(self, image: Image.Image, boxes: np.ndarray, rng: np.random.Generator) -> Image.Image:
        plain = np.asarray(image)
        for _ in range(_OVERLAY_TRIES):
            covered = draw_stickers(image, rng, count=self.config.overlay_level)
            changed = (np.asarray(covered) != plain).any(axis=-1)
            if all(changed[y0:y1, x0:x1].mean() <= self.config.max_overlap for x0, y0, x1, y1 in boxes):
                return covered
        return image


@dataclass(frozen=True)
class _Piece:
    """A product cropped to its visible pixels, and the window that it fills once rotated.

    Attributes:
        image: RGB for a rectangle; for a cut-out RGBa, which is premultiplied, as resampling needs it.
        flip: Whether to mirror it after the rotation.
        angle: Rotation in radians.
        low: Upper left corner (x, y) of the window, in pixels of `image` from its center.
        extent: Width and height of the window, in pixels of `image`.
    """

    image: Image.Image
    flip: bool
    angle: float
    low: np.ndarray
    extent: np.ndarray

    def render(self, size: tuple[int, int]) -> Image.Image:
        """Scale, rotate and mirror the product so that its window fills `size` (width, height): RGB or RGBA."""
        image = self._rotated(size)
        if self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.convert("RGBA") if image.mode == "RGBa" else image

    def _rotated(self, size: tuple[int, int]) -> Image.Image:
        if not self.angle:
            return self.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=1.5)
        # A transform skips pixels instead of averaging over them, so the image is scaled first.
        scale = math.sqrt(size[0] * size[1] / self.extent.prod())
        image = self.image
        if scale < 1:
            small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(small, Image.Resampling.BICUBIC, reducing_gap=1.5)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        # Maps an output pixel to the window, rotates it back, and scales it to a pixel of the scaled image.
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


def _rotated_extent(visible: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds (x, y) of the visible pixels after a rotation about the center by `angle` radians."""
    height, width = visible.shape
    if not angle:
        return np.array([-width / 2, -height / 2]), np.array([width / 2, height / 2])
    # The extremes in any direction are at the ends of rows.
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
