"""Other listings of a product: the photo that another seller would show, his title, and his promotions."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ..synthetic.overlays import LEVELS, FontSet, Level, draw_promotions
from .backdrops import Backdrops, draw_backdrop_color
from .boxes import clip_box
from .clutter import ClutterBank
from .compositing import color_matrix
from .draws import Range, check_draws
from .listing_text import advertise, rewrite
from .matte import object_matte
from .mosaic import MosaicComposer, MosaicConfig, Product


@dataclass(frozen=True)
class ListingConfig:
    """How another listing of a product is made. Ranges are drawn from uniformly, unless said; probabilities are in
    [0, 1].

    Attributes:
        size: side of the square picture in pixels.
        cut_out_probability: how often the product is cut out of a white background, where that can be done, and put
            on another backdrop. Else the photo is cropped or scaled.
        white_weight, plain_weight, gradient_weight, clutter_weight: how often that backdrop is white, of one colour, a
            gradient, or a photo of clutter, against each other.
        area: area of a cut-out's box as a share of the picture, drawn log-uniformly. It stays smaller where it would
            not fit.
        rotation_probability, rotation: how often, and by up to how many degrees either way, a cut-out is turned.
        shadow_probability, shadow_strength: how often, and how dark in [0, 1], a cut-out shades its backdrop.
        crop: side of the window that a photo is cropped to, as a share of its shorter side. The box stays whole.
        inset_probability, inset: how often a photo is put on a white or plain card instead, and its side there, as a
            share of the picture's.
        flip_probability: how often the product is mirrored left to right.
        relight_probability: how often the following four apply.
        brightness, contrast, saturation: factors, 1 changes nothing.
        temperature: gain of red and loss of blue, 0 changes nothing.
        jpeg_probability, jpeg_quality: how often, and at which quality, the photo is JPEG-compressed, before anything
            is drawn on it.
        keep_words: share of the title's words that are kept, at least one, and of the parts or words of an attribute
            that has more than three.
        move_words: a word moves by up to about this many places.
        keep_attributes: share of the attributes that are kept.
        drop_category_probability: how often the category is left out.
        promotional_words: whether levels add words to titles: "light" one, "heavy" two to four.
    """

    size: int = 224
    cut_out_probability: float = 0.75
    white_weight: float = 3.0
    plain_weight: float = 2.0
    gradient_weight: float = 2.0
    clutter_weight: float = 3.0
    area: Range = (0.2, 0.8)
    rotation_probability: float = 0.3
    rotation: float = 8.0
    shadow_probability: float = 0.4
    shadow_strength: Range = (0.1, 0.35)
    crop: Range = (0.75, 1.0)
    inset_probability: float = 0.35
    inset: Range = (0.7, 0.95)
    flip_probability: float = 0.3
    relight_probability: float = 0.8
    brightness: Range = (0.88, 1.1)
    contrast: Range = (0.88, 1.12)
    saturation: Range = (0.85, 1.15)
    temperature: Range = (-0.06, 0.06)
    jpeg_probability: float = 0.8
    jpeg_quality: Range = (55, 92)
    keep_words: Range = (0.4, 0.9)
    move_words: float = 2.0
    keep_attributes: Range = (0.3, 0.9)
    drop_category_probability: float = 0.1
    promotional_words: bool = True

    def __post_init__(self) -> None:
        check_draws(self)
        if self.size < 48:
            raise ValueError(f"size: expected at least 48 pixels, found {self.size}")
        for name in ("area", "crop", "inset"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise ValueError(f"{name}: expected a range within (0, 1], found {(low, high)}")
        for name in ("keep_words", "keep_attributes", "shadow_strength"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{name}: expected a range within [0, 1], found {(low, high)}")
        weights = self.backdrop_weights
        if min(weights) < 0 or not sum(weights):
            raise ValueError(f"white_weight to clutter_weight: expected weights that are not all 0, found {weights}")
        if not 0 <= self.rotation <= 45:
            raise ValueError(f"rotation: expected 0 to 45 degrees, found {self.rotation}")
        if self.move_words < 0:
            raise ValueError(f"move_words: expected a number of places, found {self.move_words}")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError(f"jpeg_quality: expected a range within [1, 100], found {self.jpeg_quality}")

    @property
    def backdrop_weights(self) -> tuple[float, float, float, float]:
        """How often a backdrop is white, plain, a gradient and clutter."""
        return (self.white_weight, self.plain_weight, self.gradient_weight, self.clutter_weight)


class Listing(NamedTuple):
    """
    Attributes:
        image: RGB, `size` x `size` pixels.
        text: record of `title`, `category` and `attributes`.
        alpha: how far overlays cover each pixel, `[size, size]` uint8.
        elements: names of the overlays' elements.
    """

    image: Image.Image
    text: dict[str, Any]
    alpha: np.ndarray
    elements: tuple[str, ...]


class ListingSynthesizer:
    """Make another listing of a product from its photo and text.

    Geometry, backdrop and light, the seller's title, and the promotions are drawn from generators of their own: the
    listings that one generator state gives at different levels differ only in overlays and promotional words.

    Args:
        config: probabilities and ranges.
        clutter: photos behind cut-outs, as a `ClutterBank` or images to make one of. Without any they are drawn.
        fonts: of the overlays' text; None for `default_fonts`.
    """

    def __init__(
        self,
        config: ListingConfig | None = None,
        clutter: ClutterBank | Iterable[Any] | None = None,
        fonts: FontSet | None = None,
    ):
        self.config = config = config or ListingConfig()
        self.fonts = fonts
        if clutter is not None and not isinstance(clutter, ClutterBank):
            clutter = ClutterBank(clutter)
        pasting = MosaicConfig(
            size=config.size,
            area=config.area,
            flip_probability=config.flip_probability,
            rotation_probability=config.rotation_probability,
            rotation=config.rotation,
            shadow_probability=config.shadow_probability,
            shadow_strength=config.shadow_strength,
            relight_probability=0.0,
        )
        self._paste = MosaicComposer(pasting, Backdrops(config.backdrop_weights, clutter))

    def __call__(
        self,
        image: Image.Image,
        text: Mapping[str, Any],
        *,
        level: Level,
        rng: np.random.Generator,
        box: Sequence[float] | None = None,
        matte: np.ndarray | Literal["find"] | None = "find",
        title_level: Level | None = None,
    ) -> Listing:
        """Make one listing.

        Args:
            image: the product's photo, RGB.
            text: record of `title`, `category` and `attributes`.
            level: of the promotions: "clean" has none.
            rng: the only source of randomness, of which three numbers are drawn whatever the level.
            box: `[x0, y0, x1, y1]` of the product in pixels of `image`, or None.
            matte: what `object_matte(image, box)` returns, if known: the listing is the same, and made sooner.
            title_level: of the promotional words in the title; `level` by default.

        Raises:
            ValueError: a level is unknown.
        """
        title_level = level if title_level is None else title_level
        for name, given in (("level", level), ("title_level", title_level)):
            if given not in LEVELS:
                raise ValueError(f"{name}: expected one of {', '.join(LEVELS)}, found {given!r}")
        of_photo, of_text, of_promotions = rng.integers(2**63, size=3).tolist()
        photo, place = self.photograph(image, box, matte, np.random.default_rng(of_photo))
        record = rewrite(
            text,
            np.random.default_rng(of_text),
            keep_words=self.config.keep_words,
            move_words=self.config.move_words,
            keep_attributes=self.config.keep_attributes,
            drop_category_probability=self.config.drop_category_probability,
        )
        # Each level draws its own promotions: a heavy picture is not a light one with more on it.
        rng = np.random.default_rng([of_promotions, LEVELS.index(level)])
        promotion = draw_promotions(photo, level, rng, box=place, fonts=self.fonts)
        if self.config.promotional_words and record["title"]:
            record["title"] = advertise(record["title"], title_level, rng)
        return Listing(promotion.image, record, promotion.alpha, promotion.elements)

    def photograph(
        self,
        image: Image.Image,
        box: Sequence[float] | None,
        matte: np.ndarray | Literal["find"] | None,
        rng: np.random.Generator,
    ) -> tuple[Image.Image, list[float] | None]:
        """Make another photo of a product: `size` x `size` pixels, and the product's box in it, if it is known."""
        config = self.config
        cut_out = rng.random() < config.cut_out_probability
        if rng.random() < config.relight_probability:
            light = color_matrix(
                brightness=rng.uniform(*config.brightness),
                contrast=rng.uniform(*config.contrast),
                saturation=rng.uniform(*config.saturation),
                temperature=rng.uniform(*config.temperature),
            )
        else:
            light = color_matrix()
        quality = int(rng.uniform(*config.jpeg_quality)) if rng.random() < config.jpeg_probability else None
        alpha: np.ndarray | None = None
        if cut_out:
            alpha = object_matte(image, box) if isinstance(matte, str) else matte
        if alpha is not None:
            # The product's light changes and the backdrop stays: a white one is white in every shop.
            product = Product(np.asarray(image.convert("RGB", light)), alpha, box)
            mosaic = self._paste([product], rng)
            photo = mosaic.image
            place: list[float] | None = mosaic.boxes[0]
        else:
            photo, place = self._reframe(image, box, rng)
            photo = photo.convert("RGB", light)
        if quality is not None:
            with Image.open(io.BytesIO(encode_jpeg(photo, quality))) as compressed:
                photo = compressed.convert("RGB")
        return photo, place

    def _reframe(
        self, image: Image.Image, box: Sequence[float] | None, rng: np.random.Generator
    ) -> tuple[Image.Image, list[float] | None]:
        """Crop a photo to a square, or put it on a card; also return where its box is then."""
        config = self.config
        size = config.size
        x0, y0, x1, y1 = clip_box(box, image.size)
        inset = rng.random() < config.inset_probability
        side = min(image.size) * rng.uniform(*config.crop)
        if box is not None:
            side = max(side, x1 - x0, y1 - y0)
        if inset or side > min(image.size):
            # All of it, on white if it is a photo on white already, so that no edge shows.
            border = np.asarray(ImageOps.contain(image, (64, 64)))
            border = np.concatenate([border[0], border[-1], border[:, 0], border[:, -1]])
            on_white = (border.min(axis=1) >= 235).mean() > 0.6
            color = (255, 255, 255) if on_white or rng.random() < 0.4 else draw_backdrop_color(rng)
            scale = (rng.uniform(*config.inset) if inset else 1.0) * size / max(image.size)
            inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            corner = (int(rng.integers(0, size - inner[0] + 1)), int(rng.integers(0, size - inner[1] + 1)))
            photo = Image.new("RGB", (size, size), color)
            photo.paste(image.resize(inner, Image.Resampling.BICUBIC, reducing_gap=2.0), corner)
            left, top = -corner[0] / scale, -corner[1] / scale
        else:
            scale = size / side
            left = _start(image.width, side, None if box is None else (x0, x1), rng)
            top = _start(image.height, side, None if box is None else (y0, y1), rng)
            window = clip_box((left, top, left + side, top + side), image.size)
            photo = image.resize((size, size), Image.Resampling.BICUBIC, box=window, reducing_gap=2.0)
        place = None
        if box is not None:
            place = [(x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale]
        if rng.random() < config.flip_probability:
            photo = ImageOps.mirror(photo)
            place = None if place is None else [size - place[2], place[1], size - place[0], place[3]]
        return photo, place


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode an image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _start(extent: int, side: float, bounds: tuple[float, float] | None, rng: np.random.Generator) -> float:
    """Draw where a window of `side` starts within 0 to `extent`, so that `bounds` lie within the window."""
    low, high = 0.0, extent - side
    if bounds is not None:
        low, high = max(low, bounds[1] - side), min(high, bounds[0])
    return float(rng.uniform(low, max(low, high)))
