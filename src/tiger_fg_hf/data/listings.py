"""Further listings of a product: another seller's photo, text and promotions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ..synthetic.backdrops import Backdrops, Backgrounds, draw_backdrop_color
from ..synthetic.compositing import color_matrix, draw_color_matrix
from ..synthetic.jpeg import compress_jpeg
from ..synthetic.overlays import LEVELS, FontSet, Level, draw_overlays
from .boxes import clip_box
from .clutter import as_backgrounds
from .draws import DrawConfig, Range
from .listing_text import advertise, rewrite
from .matte import object_matte
from .mosaic import MosaicComposer, MosaicConfig, Product


@dataclass(frozen=True)
class ListingConfig(DrawConfig):
    """How another listing of a product is made.

    Ranges are drawn from uniformly unless stated; probabilities are in [0, 1].

    Attributes:
        size: Side of the square picture in pixels.
        cut_out_probability: How often the product is cut out of a white background, where that is possible, and put
            on another backdrop. Otherwise the photo is cropped or scaled.
        white_weight: How often the backdrop of a cut-out is white, relative to the other weights.
        plain_weight: How often it is of one color.
        gradient_weight: How often it is a gradient.
        clutter_weight: How often it is clutter.
        area: Area of a cut-out's box as a share of the picture, drawn log-uniformly. It stays smaller where it would
            not fit.
        rotation_probability: How often a cut-out is rotated.
        rotation: Largest rotation either way, in degrees.
        shadow_probability: How often a cut-out casts a shadow on its backdrop.
        shadow_strength: How dark that shadow is, in [0, 1].
        crop: Side of the window that a photo is cropped to, as a share of its shorter side. The product's box is never
            cut.
        inset_probability: How often a photo is put on a white or plain card instead.
        inset: Side of the photo on that card, as a share of the picture's side.
        flip_probability: How often the product is mirrored left to right.
        relight_probability: How often the following four apply.
        brightness: Factor; 1 changes nothing.
        contrast: Factor; 1 changes nothing.
        saturation: Factor; 1 changes nothing.
        temperature: Gain of red and loss of blue; 0 changes nothing.
        jpeg_probability: How often the photo is JPEG-compressed, before overlays are drawn on it.
        jpeg_quality: Quality of the compression, from 1 to 100.
        keep_words: Share of the title's words to keep, at least one word. Attributes with more than three parts or
            words are thinned in the same way.
        move_words: Approximate largest number of places that a word moves.
        keep_attributes: Share of the attributes that are kept.
        drop_category_probability: How often the category is left out.
        promotional_words: Whether levels add words to titles: one for "light", two to four for "heavy".
    """

    size: Annotated[int, "[48, inf)"] = 224
    cut_out_probability: float = 0.75
    white_weight: float = 3.0
    plain_weight: float = 2.0
    gradient_weight: float = 2.0
    clutter_weight: float = 3.0
    area: Annotated[Range, "(0, 1]"] = (0.2, 0.8)
    rotation_probability: float = 0.3
    rotation: Annotated[float, "[0, 45]"] = 8.0
    shadow_probability: float = 0.4
    shadow_strength: Annotated[Range, "[0, 1]"] = (0.1, 0.35)
    crop: Annotated[Range, "(0, 1]"] = (0.75, 1.0)
    inset_probability: float = 0.35
    inset: Annotated[Range, "(0, 1]"] = (0.7, 0.95)
    flip_probability: float = 0.3
    relight_probability: float = 0.8
    brightness: Range = (0.88, 1.1)
    contrast: Range = (0.88, 1.12)
    saturation: Range = (0.85, 1.15)
    temperature: Range = (-0.06, 0.06)
    jpeg_probability: float = 0.8
    jpeg_quality: Annotated[Range, "[1, 100]"] = (55, 92)
    keep_words: Annotated[Range, "[0, 1]"] = (0.4, 0.9)
    move_words: Annotated[float, "[0, inf)"] = 2.0
    keep_attributes: Annotated[Range, "[0, 1]"] = (0.3, 0.9)
    drop_category_probability: float = 0.1
    promotional_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.backdrop_weights
        if min(weights) < 0 or not sum(weights):
            raise ValueError(f"white_weight to clutter_weight: expected weights that are not all 0, found {weights}")

    @property
    def backdrop_weights(self) -> tuple[float, float, float, float]:
        """Weights of a white backdrop, a plain one, a gradient and clutter."""
        return (self.white_weight, self.plain_weight, self.gradient_weight, self.clutter_weight)


class Listing(NamedTuple):
    """A listing of a product.

    Attributes:
        image: RGB, `size` x `size` pixels.
        text: Record of `title`, `category` and `attributes`.
        alpha: How far overlays cover each pixel, `[size, size]` uint8.
        elements: Names of the overlays' elements.
    """

    image: Image.Image
    text: dict[str, Any]
    alpha: np.ndarray
    elements: tuple[str, ...]


class ListingSynthesizer:
    """Make another listing of a product from its photo and text.

    Photo, text and promotions use separate random generators. Listings made from the same generator state at different
    levels therefore differ only in overlays and promotional words.

    Args:
        config: Probabilities and ranges; the defaults of `ListingConfig` if None.
        clutter: Photos behind cut-outs, a `ClutterBank` or images to build one from; drawn if None.
        fonts: Fonts of the overlays' text; `default_fonts()` if None.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> photo = Image.new("RGB", (60, 60), "white")
        >>> photo.paste("teal", (15, 10, 45, 50))
        >>> synthesizer = ListingSynthesizer(ListingConfig(size=64))
        >>> text = {"title": "ribbed mug with handle", "category": "mug", "attributes": {"color": "teal"}}
        >>> listing = synthesizer(photo, text, level="light", rng=np.random.default_rng(0))
        >>> listing.image.size, sorted(listing.text)
        ((64, 64), ['attributes', 'category', 'title'])
    """

    def __init__(
        self,
        config: ListingConfig | None = None,
        clutter: Backgrounds | Iterable[Any] | None = None,
        fonts: FontSet | None = None,
    ):
        self.config = config = config or ListingConfig()
        self.fonts = fonts
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
        self._paste = MosaicComposer(pasting, Backdrops(config.backdrop_weights, as_backgrounds(clutter)))

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
            image: The product's photo, RGB.
            text: Record of `title`, `category` and `attributes`.
            level: Level of the overlays; "clean" has none.
            rng: The only source of randomness; three numbers are drawn from it at every level.
            box: `[x0, y0, x1, y1]` of the product in pixels of `image`, or None.
            matte: Result of `object_matte(image, box)`, if already computed.
            title_level: Level of the promotional words in the title; `level` by default.

        Raises:
            ValueError: If a level is unknown.
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
        # Each level has its own generator: heavy overlays are not light ones with more added.
        rng = np.random.default_rng([of_promotions, LEVELS.index(level)])
        promotion = draw_overlays(photo, level, rng, box=place, fonts=self.fonts)
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
        """Make another photo of a product.

        Args:
            image: The product's photo, RGB.
            box: `[x0, y0, x1, y1]` of the product in pixels of `image`, or None.
            matte: Result of `object_matte(image, box)`, or `"find"`.
            rng: The only source of randomness.

        Returns:
            The photo, `size` x `size` pixels, and the product's box in it, or None where that is unknown.
        """
        config = self.config
        cut_out = rng.random() < config.cut_out_probability
        if rng.random() < config.relight_probability:
            light = draw_color_matrix(config, rng, "brightness", "contrast", "saturation", "temperature")
        else:
            light = color_matrix()
        quality = int(rng.uniform(*config.jpeg_quality)) if rng.random() < config.jpeg_probability else None
        alpha: np.ndarray | None = None
        if cut_out:
            alpha = object_matte(image, box) if isinstance(matte, str) else matte
        if alpha is not None:
            # Only the product's light changes: a white backdrop is white in every shop.
            product = Product(np.asarray(image.convert("RGB", light)), alpha, box)
            mosaic = self._paste([product], rng)
            photo = mosaic.image
            place: list[float] | None = mosaic.boxes[0]
        else:
            photo, place = self._reframe(image, box, rng)
            photo = photo.convert("RGB", light)
        if quality is not None:
            photo = compress_jpeg(photo, quality)
        return photo, place

    def _reframe(
        self, image: Image.Image, box: Sequence[float] | None, rng: np.random.Generator
    ) -> tuple[Image.Image, list[float] | None]:
        """Crop a photo to a square, or put it on a card; also return its box there."""
        config = self.config
        size = config.size
        x0, y0, x1, y1 = clip_box(box, image.size)
        inset = rng.random() < config.inset_probability
        side = min(image.size) * rng.uniform(*config.crop)
        if box is not None:
            side = max(side, x1 - x0, y1 - y0)
        if inset or side > min(image.size):
            # A photo on white goes on a white card, so that no edge shows.
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


def _start(extent: int, side: float, bounds: tuple[float, float] | None, rng: np.random.Generator) -> float:
    """Draw where a window of `side` starts between 0 and `extent`, so that it contains `bounds`."""
    low, high = 0.0, extent - side
    if bounds is not None:
        low, high = max(low, bounds[1] - side), min(high, bounds[0])
    return float(rng.uniform(low, max(low, high)))
