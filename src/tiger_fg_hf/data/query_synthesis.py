"""Query synthesis: what a user might crop out of a photo, made from the listing photo of an item."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from ..synthetic.backdrops import Backgrounds
from ..synthetic.compositing import draw_color_matrix, drop_shadow, harmonize, shade
from ..synthetic.jpeg import compress_jpeg
from .boxes import clip_box
from .clutter import as_backgrounds
from .draws import DrawConfig, Range
from .matte import object_matte

# A photo is scaled down first, to avoid aliasing, if the cut-out would shrink it by more than this factor.
_MAX_MINIFICATION = 1.5


@dataclass(frozen=True)
class QuerySynthesisConfig(DrawConfig):
    """How queries are synthesized. Ranges are drawn from uniformly; probabilities are in [0, 1].

    Attributes:
        size: Longer side of a query in pixels; the shorter side follows the crop.
        coverage: Share of the object's box that a close crop shows.
        aspect_jitter: Largest natural logarithm by which a close crop's sides deviate from the object's proportions.
        loose_probability: How often a query shows the whole object with a margin instead of a close crop.
        margin: Width of that margin on each side, as a share of the object's side.
        cut_out_probability: How often the object is cut out of its white background, where that is possible.
        flip_probability: How often a query is mirrored left to right.
        rotation_probability: How often a cut-out is rotated.
        rotation: Largest rotation either way, in degrees.
        perspective_probability: How often the corners of a cut-out move.
        perspective: Largest share of the crop's sides by which they move.
        shadow_probability: How often a cut-out casts a shadow on the clutter.
        shadow_strength: How dark that shadow is, in [0, 1].
        harmonize: How far a cut-out takes over the brightness and tint of the clutter, from 0 to 1.
        relight_probability: How often the following four apply.
        brightness: Factor; 1 changes nothing.
        contrast: Factor; 1 changes nothing.
        saturation: Factor; 1 changes nothing.
        temperature: Gain of red and loss of blue; 0 changes nothing.
        gradient_probability: How often light falls off across the query.
        gradient: Share of the light that is lost at the far end.
        blur_probability: How often the query is blurred.
        blur_radius: Standard deviation of the blur in pixels.
        noise_probability: How often the query gets noise.
        noise_std: Standard deviation of the noise in 8-bit levels.
        jpeg_probability: How often the query is JPEG-compressed.
        jpeg_quality: Quality of the compression, from 1 to 100.
    """

    size: Annotated[int, "[8, inf)"] = 160
    coverage: Annotated[Range, "(0, 1]"] = (0.6, 1.0)
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
    jpeg_quality: Annotated[Range, "[1, 100]"] = (40, 95)

    @classmethod
    def preset(cls, name: Literal["easy", "default", "hard"], **changes: Any) -> QuerySynthesisConfig:
        """Return the settings of a named difficulty.

        Args:
            name: The difficulty.
            **changes: Settings that replace those of the difficulty.

        Raises:
            ValueError: If the name is unknown.
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
    """Make a query out of a listing photo: a crop of the object, often on clutter, re-lit, blurred and compressed.

    Args:
        config: Probabilities and ranges; the defaults of `QuerySynthesisConfig` if None.
        clutter: Backgrounds, such as a `ClutterBank`, or images to build one from; drawn if None.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> photo = Image.new("RGB", (60, 40), "white")
        >>> photo.paste("navy", (15, 10, 45, 30))
        >>> synthesizer = QuerySynthesizer(QuerySynthesisConfig.preset("easy", size=32))
        >>> max(synthesizer(photo, rng=np.random.default_rng(0)).size)
        32
    """

    def __init__(
        self,
        config: QuerySynthesisConfig | None = None,
        clutter: Backgrounds | Iterable[Any] | None = None,
    ):
        self.config = config or QuerySynthesisConfig()
        self.clutter = as_backgrounds(clutter)

    def __call__(
        self,
        image: Image.Image,
        *,
        box: Sequence[float] | None = None,
        rng: np.random.Generator,
        matte: np.ndarray | Literal["find"] | None = "find",
    ) -> Image.Image:
        """Synthesize one query.

        Args:
            image: The listing photo, RGB.
            box: `[x0, y0, x1, y1]` of the object in pixels of `image`. Without it, the object is what stands out from
                a white background, or else the whole photo.
            rng: The only source of randomness: the same photo and generator state give the same query.
            matte: Result of `object_matte(image, box)`, if already computed.

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
            x0, y0, x1, y1 = alpha.getbbox() or (0, 0, *image.size)
            region = (max(region[0], x0), max(region[1], y0), min(region[2], x1), min(region[3], y1))
        window = self.draw_window(region, rng)
        query = self._crop(image, window) if alpha is None else self._cut_out(image, alpha, window, rng)
        if rng.random() < config.flip_probability:
            query = ImageOps.mirror(query)
        return self.photometric(query, rng)

    def augment_photo(self, photo: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Flip, re-light, blur and compress a real query photo, without cropping it.

        Args:
            photo: The photo, RGB.
            rng: The only source of randomness.

        Returns:
            An RGB image, scaled down where its longer side exceeds `config.size` pixels.
        """
        photo = photo.copy()
        photo.thumbnail((self.config.size, self.config.size), Image.Resampling.BICUBIC)
        if rng.random() < self.config.flip_probability:
            photo = ImageOps.mirror(photo)
        return self.photometric(photo, rng)

    def draw_window(self, region: tuple[float, float, float, float], rng: np.random.Generator) -> tuple[float, ...]:
        """Draw the window of a query.

        A close crop lies within the object's region and covers a share of it within `config.coverage`. A loose crop
        contains the region.

        Args:
            region: `(x0, y0, x1, y1)` of the object in pixels.
            rng: The only source of randomness.

        Returns:
            `(x0, y0, x1, y1)` of the window in pixels.
        """
        config = self.config
        x0, y0, x1, y1 = region
        width, height = x1 - x0, y1 - y0
        if rng.random() < config.loose_probability:
            left, top, right, bottom = rng.uniform(*config.margin, size=4)
            return (x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height)
        coverage = rng.uniform(*config.coverage)
        # No side may exceed the object's, and the product of the sides is the coverage; this bounds the jitter.
        jitter = min(config.aspect_jitter, -0.5 * math.log(coverage))
        stretch = math.exp(rng.uniform(-jitter, jitter))
        shown_width, shown_height = width * math.sqrt(coverage) * stretch, height * math.sqrt(coverage) / stretch
        left, top = rng.uniform(0, 1, size=2)
        left, top = x0 + left * (width - shown_width), y0 + top * (height - shown_height)
        return (left, top, left + shown_width, top + shown_height)

    def photometric(self, query: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Re-light, blur, add noise to and compress an RGB image without changing its size."""
        config = self.config
        if rng.random() < config.relight_probability:
            light = draw_color_matrix(config, rng, "brightness", "contrast", "temperature", "saturation")
            query = query.convert("RGB", light)
        if rng.random() < config.blur_probability:
            query = query.filter(ImageFilter.GaussianBlur(rng.uniform(*config.blur_radius)))
        falloff = rng.uniform(*config.gradient) if rng.random() < config.gradient_probability else 0.0
        noise = rng.uniform(*config.noise_std) if rng.random() < config.noise_probability else 0.0
        if falloff or noise:
            query = shade(query, falloff, noise, rng)
        if rng.random() < config.jpeg_probability:
            low, high = config.jpeg_quality
            query = compress_jpeg(query, int(rng.integers(int(low), int(high) + 1)))
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
        # Crop to the quad and the pixels around it that bilinear sampling reads; outside the image is transparent.
        x0, y0 = (max(0, math.floor(min(quad[i::2])) - 1) for i in (0, 1))
        x1, y1 = (min(image.size[i], math.ceil(max(quad[i::2])) + 1) for i in (0, 1))
        cut = image.crop((x0, y0, x1, y1))
        cut.putalpha(alpha.crop((x0, y0, x1, y1)))
        quad = [side - (x0, y0)[i % 2] for i, side in enumerate(quad)]
        cut = cut.transform(size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
        alpha = cut.getchannel("A")
        background = self.clutter.sample(rng, size)
        if rng.random() < config.shadow_probability:
            drop_shadow(background, alpha, rng.uniform(*config.shadow_strength), rng)
        strength = rng.uniform(*config.harmonize)
        background.paste(harmonize(cut.convert("RGB"), background, strength), (0, 0), alpha)
        return background


def _corners(window: tuple[float, ...], angle: float, shift: np.ndarray) -> list[float]:
    """Return the corners of a rotated and shifted window in PIL's order: upper left, lower left, lower right, ..."""
    x0, y0, x1, y1 = window
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    sides = np.array([x1 - x0, y1 - y0])
    offsets = (np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) + shift) * sides
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (center + offsets @ turn).ravel().tolist()
