"""Query synthesis: what a user might crop out of a photo, made from the listing photo of an item."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .boxes import clip_box
from .clutter import ClutterBank, drawn_clutter
from .compositing import cast_shadow, color_matrix, compress, harmonized, shade
from .draws import Range, check_draws
from .matte import object_matte

# A photo is scaled down first when a cut-out would shrink it by more than this: against aliasing.
_MAX_MINIFICATION = 1.5


@dataclass(frozen=True)
class QuerySynthesisConfig:
    """How queries are synthesised. Ranges are drawn from uniformly; probabilities are in [0, 1].

    Attributes:
        size: longer side of a query in pixels; the shorter follows the crop.
        coverage: share of the object's box that a close crop shows.
        aspect_jitter: largest natural logarithm by which a close crop's sides deviate from the object's proportions.
        loose_probability: how often a query shows the whole object with a margin instead of a close crop.
        margin: width of that margin on each side, as a share of the object's side.
        cut_out_probability: how often the object is taken off its white background, where that can be done.
        flip_probability: how often a query is mirrored left to right.
        rotation_probability, rotation: how often, and by up to how many degrees either way, a cut-out is rotated.
        perspective_probability, perspective: how often, and by up to which share of the crop's sides, the corners of a
            cut-out move.
        shadow_probability, shadow_strength: how often, and how dark in [0, 1], a cut-out shades the clutter.
        harmonize: how far a cut-out takes over the brightness and tint of the clutter, 0 none, 1 all.
        relight_probability: how often the following four apply.
        brightness, contrast, saturation: factors, 1 changes nothing.
        temperature: gain of red and loss of blue, 0 changes nothing.
        gradient_probability, gradient: how often, and by up to which share, light falls off across the query.
        blur_probability, blur_radius: how often, and with which standard deviation in pixels, the query is blurred.
        noise_probability, noise_std: how often, and with which standard deviation in 8-bit levels, it gets noise.
        jpeg_probability, jpeg_quality: how often, and at which quality, it is JPEG-compressed.
    """

    size: int = 160
    coverage: Range = (0.6, 1.0)
    aspect_jitter: float = 0.2
    loose_probability: float = 0.4
    margin: Range = (0.02, 0.2)
    cut_out_probability: float = 0.85
    flip_probability: float = 0.5
    rotation_probability: float = 0.6
    rotation: float = 12.0
    perspective_probability: float = 0.4
    perspective: float = 0.06
    shadow_probability: float = 0.6
    shadow_strength: Range = (0.15, 0.5)
    harmonize: Range = (0.0, 0.6)
    relight_probability: float = 0.9
    brightness: Range = (0.75, 1.2)
    contrast: Range = (0.8, 1.2)
    saturation: Range = (0.75, 1.25)
    temperature: Range = (-0.1, 0.1)
    gradient_probability: float = 0.4
    gradient: Range = (0.1, 0.4)
    blur_probability: float = 0.4
    blur_radius: Range = (0.3, 1.2)
    noise_probability: float = 0.4
    noise_std: Range = (2.0, 8.0)
    jpeg_probability: float = 1.0
    jpeg_quality: Range = (40, 95)

    def __post_init__(self) -> None:
        check_draws(self)
        if self.size < 8:
            raise ValueError(f"size: expected at least 8 pixels, found {self.size}")
        if not 0 < self.coverage[0] <= self.coverage[1] <= 1:
            raise ValueError(f"coverage: expected a range within (0, 1], found {self.coverage}")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError(f"jpeg_quality: expected a range within [1, 100], found {self.jpeg_quality}")

    @classmethod
    def preset(cls, name: Literal["easy", "default", "hard"], **changes: Any) -> QuerySynthesisConfig:
        """Return a named difficulty, with single fields changed.

        Raises:
            ValueError: for another name.
        """
        if name not in _PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(_PRESETS)}, found {name!r}")
        return replace(cls(), **{**_PRESETS[name], **changes})


_PRESETS: dict[str, dict[str, Any]] = {
    "easy": {
        "coverage": (0.8, 1.0),
        "cut_out_probability": 0.5,
        "rotation": 5.0,
        "perspective_probability": 0.0,
        "brightness": (0.9, 1.1),
        "contrast": (0.9, 1.1),
        "saturation": (0.9, 1.1),
        "temperature": (-0.04, 0.04),
        "gradient_probability": 0.0,
        "blur_probability": 0.1,
        "noise_probability": 0.1,
        "jpeg_quality": (75, 95),
    },
    "default": {},
    "hard": {
        "coverage": (0.45, 0.9),
        "loose_probability": 0.3,
        "margin": (0.05, 0.4),
        "cut_out_probability": 1.0,
        "rotation": 25.0,
        "perspective": 0.1,
        "brightness": (0.5, 1.4),
        "contrast": (0.6, 1.4),
        "saturation": (0.5, 1.4),
        "temperature": (-0.18, 0.18),
        "gradient": (0.2, 0.6),
        "blur_probability": 0.6,
        "blur_radius": (0.4, 2.0),
        "noise_probability": 0.6,
        "noise_std": (3.0, 14.0),
        "jpeg_quality": (20, 85),
    },
}


class QuerySynthesizer:
    """Make a query out of a listing photo: object crop on clutter, flipped, turned, re-lit, blurred and compressed.

    Args:
        config: probabilities and ranges.
        clutter: backgrounds, as a `ClutterBank` or images to make one of. Without any they are drawn.
    """

    def __init__(
        self,
        config: QuerySynthesisConfig | None = None,
        clutter: ClutterBank | Iterable[Any] | None = None,
    ):
        self.config = config or QuerySynthesisConfig()
        self.clutter = clutter if clutter is None or isinstance(clutter, ClutterBank) else ClutterBank(clutter)

    def __call__(
        self,
        image: Image.Image,
        *,
        box: Sequence[float] | None = None,
        rng: np.random.Generator,
        matte: np.ndarray | Literal["find"] | None = "find",
    ) -> Image.Image:
        """Synthesise one query.

        Args:
            image: the listing photo, RGB.
            box: `[x0, y0, x1, y1]` of the object in pixels of `image`; without it the object is what stands out from a
                white background, or else the whole photo.
            rng: the only source of randomness: the same photo and generator state give the same query.
            matte: what `object_matte(image, box)` returns, if known: the query is the same, and made sooner.

        Returns:
            An RGB image whose longer side is `config.size` pixels.
        """
        config = self.config
        region = clip_box(box, image.size)
        if rng.random() >= config.cut_out_probability:
            matte = None
        elif isinstance(matte, str):
            matte = object_matte(image, box)
        alpha = None if matte is None else Image.fromarray(matte)
        if alpha is not None:
            found = alpha.getbbox() or (0, 0, *image.size)
            region = (
                max(region[0], found[0]),
                max(region[1], found[1]),
                min(region[2], found[2]),
                min(region[3], found[3]),
            )
        window = self.draw_window(region, rng)
        query = self._crop(image, window) if alpha is None else self._cut_out(image, alpha, window, rng)
        if rng.random() < config.flip_probability:
            query = ImageOps.mirror(query)
        return self.photometric(query, rng)

    def augment_photo(self, photo: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Vary a real query photo, RGB: flipped, re-lit, blurred and compressed, never cropped or cut out.

        Returns:
            An RGB image, scaled down where its longer side exceeds `config.size` pixels.
        """
        photo = photo.copy()
        photo.thumbnail((self.config.size, self.config.size), Image.Resampling.BICUBIC)
        if rng.random() < self.config.flip_probability:
            photo = ImageOps.mirror(photo)
        return self.photometric(photo, rng)

    def draw_window(self, region: tuple[float, float, float, float], rng: np.random.Generator) -> tuple[float, ...]:
        """Draw the window `(x0, y0, x1, y1)` of a query around or within an object's `region`, both in pixels.

        A close crop lies within the region and covers a share of it within `config.coverage`; a loose one contains it.
        """
        config = self.config
        x0, y0, x1, y1 = region
        width, height = x1 - x0, y1 - y0
        if rng.random() < config.loose_probability:
            left, top, right, bottom = rng.uniform(*config.margin, size=4)
            return (x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height)
        coverage = rng.uniform(*config.coverage)
        # Sides a·b = coverage with neither above 1: the jitter is bounded by what the coverage leaves.
        jitter = min(config.aspect_jitter, -0.5 * math.log(coverage))
        stretch = math.exp(rng.uniform(-jitter, jitter))
        shown_width, shown_height = width * math.sqrt(coverage) * stretch, height * math.sqrt(coverage) / stretch
        left, top = rng.uniform(0, 1, size=2)
        left, top = x0 + left * (width - shown_width), y0 + top * (height - shown_height)
        return (left, top, left + shown_width, top + shown_height)

    def photometric(self, query: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Re-light, blur, add noise and compress an RGB image; its size stays."""
        config = self.config
        if rng.random() < config.relight_probability:
            query = query.convert(
                "RGB",
                color_matrix(
                    brightness=rng.uniform(*config.brightness),
                    contrast=rng.uniform(*config.contrast),
                    temperature=rng.uniform(*config.temperature),
                    saturation=rng.uniform(*config.saturation),
                ),
            )
        if rng.random() < config.blur_probability:
            query = query.filter(ImageFilter.GaussianBlur(rng.uniform(*config.blur_radius)))
        falloff = rng.uniform(*config.gradient) if rng.random() < config.gradient_probability else 0.0
        noise = rng.uniform(*config.noise_std) if rng.random() < config.noise_probability else 0.0
        if falloff or noise:
            query = shade(query, falloff, noise, rng)
        if rng.random() < config.jpeg_probability:
            low, high = config.jpeg_quality
            query = compress(query, int(rng.integers(int(low), int(high) + 1)))
        return query

    def _output_size(self, window: tuple[float, ...]) -> tuple[int, int]:
        width, height = window[2] - window[0], window[3] - window[1]
        scale = self.config.size / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _crop(self, image: Image.Image, window: tuple[float, ...]) -> Image.Image:
        window = clip_box(window, image.size)
        return image.resize(self._output_size(window), Image.Resampling.BICUBIC, box=window, reducing_gap=2.0)

    def _cut_out(
        self, image: Image.Image, alpha: Image.Image, window: tuple[float, ...], rng: np.random.Generator
    ) -> Image.Image:
        config = self.config
        size = self._output_size(window)
        scale = max(size) / max(window[2] - window[0], window[3] - window[1])
        if scale * _MAX_MINIFICATION < 1:
            small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            window = tuple(side * small[i % 2] / image.size[i % 2] for i, side in enumerate(window))
            image = image.resize(small, Image.Resampling.BILINEAR, reducing_gap=2.0)
            alpha = alpha.resize(small, Image.Resampling.BILINEAR)
        angle = rng.uniform(-1, 1) * config.rotation if rng.random() < config.rotation_probability else 0.0
        shift = rng.uniform(-1, 1, size=(4, 2)) * config.perspective
        if rng.random() >= config.perspective_probability:
            shift[:] = 0.0
        quad = _corners(window, math.radians(angle), shift)
        # Only what the quad touches, and what bilinear sampling reads around it; outside the image is transparent.
        x0, y0 = (max(0, math.floor(min(quad[i::2])) - 1) for i in (0, 1))
        x1, y1 = (min(image.size[i], math.ceil(max(quad[i::2])) + 1) for i in (0, 1))
        cut = image.crop((x0, y0, x1, y1))
        cut.putalpha(alpha.crop((x0, y0, x1, y1)))
        quad = [side - (x0, y0)[i % 2] for i, side in enumerate(quad)]
        cut = cut.transform(size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
        alpha = cut.getchannel("A")
        background = self.clutter.sample(rng, size) if self.clutter is not None else drawn_clutter(rng, size)
        if rng.random() < config.shadow_probability:
            cast_shadow(background, alpha, rng.uniform(*config.shadow_strength), rng)
        strength = rng.uniform(*config.harmonize)
        background.paste(harmonized(cut.convert("RGB"), background, strength), (0, 0), alpha)
        return background


def _corners(window: tuple[float, ...], angle: float, shift: np.ndarray) -> list[float]:
    """Corners of the turned and bent window in PIL's QUAD order: upper left, lower left, lower right, upper right."""
    x0, y0, x1, y1 = window
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    sides = np.array([x1 - x0, y1 - y0])
    offsets = (np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) + shift) * sides
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (center + offsets @ turn).ravel().tolist()
