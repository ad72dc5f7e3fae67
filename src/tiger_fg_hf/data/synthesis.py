"""Query synthesis: what a user might crop out of a photo, made from the listing photo of an item."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import datasets
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .matte import object_matte

Range = tuple[float, float]

# Seed of the split of clutter photos into pools; a constant, so that every run and process agrees on it.
_POOL_SEED = 20_240_607
# A photo is scaled down first when a cut-out would shrink it by more than this: against aliasing.
_MAX_MINIFICATION = 1.5
_TINT_SHARE = 0.25
_BYTE_SUM_STD = math.sqrt((256**2 - 1) / 6)


def check_draws(config: Any) -> None:
    """Check a dataclass of settings to draw by: probabilities by their names, ranges by their types.

    Raises:
        ValueError: if one is out of bounds, naming it.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name.endswith("_probability") and not 0 <= value <= 1:
            raise ValueError(f"{field.name}: expected a probability in [0, 1], found {value}")
        if isinstance(value, tuple | list) and (len(value) != 2 or value[0] > value[1]):
            raise ValueError(f"{field.name}: expected a range (low, high), found {value}")


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


def clutter_pool(
    dataset: datasets.Dataset, pool: Literal["query", "item"], *, query_share: float = 0.5
) -> datasets.Dataset:
    """Return one of two disjoint halves of the clutter photos, the same in every run.

    A background that queries and items share would give a match away, so queries draw from `"query"` only and mosaics
    of items from `"item"` only.

    Args:
        dataset: clutter photos.
        pool: which half.
        query_share: share of the photos in `"query"`.

    Raises:
        ValueError: for another pool.
    """
    if pool not in ("query", "item"):
        raise ValueError(f"pool: expected 'query' or 'item', found {pool!r}")
    order = np.random.default_rng(_POOL_SEED).permutation(len(dataset))
    cut = round(query_share * len(dataset))
    return dataset.select(np.sort(order[:cut] if pool == "query" else order[cut:]))


class ClutterBank:
    """Backgrounds, decoded once, kept small: one `(N, side, side, 3)` uint8 array that forked workers share.

    Args:
        images: rows of a dataset with an `image` column, or anything that `load_rgb_image` reads; centre-cropped.
        side: side of a kept background in pixels.

    Raises:
        ValueError: if there are no images, or one cannot be read.
    """

    def __init__(self, images: Iterable[Any], *, side: int = 192):
        from ..models.tiger_fg.image_loading_tiger_fg import load_rgb_image

        if isinstance(images, datasets.Dataset):
            images = images.select_columns("image").cast_column("image", datasets.Image(decode=False))
        kept = []
        for index, image in enumerate(images):
            if isinstance(image, dict) and "image" in image:
                image = image["image"]
            image = load_rgb_image(image, name=f"clutter[{index}]")
            kept.append(np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)))
        if not kept:
            raise ValueError("clutter: expected at least one image, found none")
        self.pixels = np.stack(kept)

    def __len__(self) -> int:
        return len(self.pixels)

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw a random, flipped or turned crop, as an RGB image of `size` (width, height)."""
        image = Image.fromarray(self.pixels[rng.integers(len(self.pixels))])
        side = image.width
        fit = min(side / size[0], side / size[1]) * rng.uniform(0.5, 1.0)
        width, height = size[0] * fit, size[1] * fit
        x, y = rng.uniform(0, side - width), rng.uniform(0, side - height)
        image = image.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        return ImageOps.flip(image) if rng.random() < 0.5 else image


def drawn_clutter(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a background without any photo: blotches at several scales, over a gradient or stripes.

    Args:
        rng: the only source of randomness.
        size: (width, height) in pixels.

    Returns:
        An RGB image.
    """
    width, height = size
    base = rng.uniform(40, 215, size=3)
    tint = rng.normal(0, 25, size=3)
    angle = rng.uniform(0, 2 * math.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ramp = math.cos(angle) * x + math.sin(angle) * y
    if rng.random() < 0.4:
        ramp = np.sign(np.sin(ramp * rng.uniform(4, 25) + rng.uniform(0, 6))) * rng.uniform(0.2, 0.8)
    texture = ramp * rng.uniform(0.3, 1.5)
    for cells in (3, 9, 40):
        blotches = rng.normal(0, rng.uniform(0.1, 0.8), size=(cells, cells)).astype(np.float32)
        texture = texture + np.asarray(Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC))
    pixels = base + texture[..., None] * (20 + tint)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


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
            query = _shade(query, falloff, noise, rng)
        if rng.random() < config.jpeg_probability:
            low, high = config.jpeg_quality
            query = _compress(query, int(rng.integers(int(low), int(high) + 1)))
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
        background.paste(_harmonized(cut.convert("RGB"), background, strength), (0, 0), alpha)
        return background


def clip_box(box: Sequence[float] | None, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Clip a box to an image of `size`; a box that misses the image, or None, is the whole image."""
    width, height = size
    if box is not None:
        x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
        if x1 - x0 >= 1 and y1 - y0 >= 1:
            return (x0, y0, x1, y1)
    return (0.0, 0.0, float(width), float(height))


def _corners(window: tuple[float, ...], angle: float, shift: np.ndarray) -> list[float]:
    """Corners of the turned and bent window in PIL's QUAD order: upper left, lower left, lower right, upper right."""
    x0, y0, x1, y1 = window
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    sides = np.array([x1 - x0, y1 - y0])
    offsets = (np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) + shift) * sides
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (center + offsets @ turn).ravel().tolist()


def cast_shadow(
    background: Image.Image,
    alpha: Image.Image,
    strength: float,
    rng: np.random.Generator,
    *,
    at: tuple[int, int] = (0, 0),
) -> None:
    """Darken a background, in place, by the soft shadow of what will be pasted on it with `alpha` at (x, y) `at`."""
    side = max(alpha.size)
    right, down = np.rint(rng.uniform([-0.04, 0.0], [0.04, 0.06]) * side)
    shadow = Image.new("L", background.size)
    dark = Image.fromarray((np.asarray(alpha) * np.float32(strength)).astype(np.uint8))
    shadow.paste(dark, (at[0] + int(right), at[1] + int(down)))
    shadow = shadow.filter(ImageFilter.BoxBlur(side * rng.uniform(0.015, 0.05)))
    background.paste((0, 0, 0), (0, 0), shadow)


def _harmonized(cut: Image.Image, background: Image.Image, strength: float) -> Image.Image:
    """Move brightness and tint of a cut-out towards its background, as if one light fell on both."""
    means = np.asarray(background.resize((1, 1), Image.Resampling.BOX), dtype=np.float64).ravel() + 1
    # Most of a background's colour is its own, not the light's: little of it passes on.
    gains = (means.mean() / 170) ** strength * (means / means.mean()) ** (_TINT_SHARE * strength)
    red, green, blue = gains.clip(0.55, 1.15).tolist()
    return cut.convert("RGB", (red, 0, 0, 0, 0, green, 0, 0, 0, 0, blue, 0))


def color_matrix(
    *, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, temperature: float = 0.0
) -> tuple[float, ...]:
    """Return the 12 numbers by which `Image.convert("RGB", matrix)` changes all of it in one pass.

    Args:
        brightness, contrast, saturation: factors, 1 changes nothing.
        temperature: gain of red and loss of blue, 0 changes nothing.
    """
    gray = (1 - saturation) * np.array([0.299, 0.587, 0.114])
    gains = brightness * np.array([1 + temperature, 1.0, 1 - temperature])
    colors = contrast * gains[:, None] * (saturation * np.eye(3) + gray)
    offsets = 128 * (1 - contrast) * gains
    return tuple(np.concatenate([colors, offsets[:, None]], axis=1).ravel().tolist())


def _shade(image: Image.Image, falloff: float, noise: float, rng: np.random.Generator) -> Image.Image:
    """Let light fall off linearly to 1 - `falloff` across the image, and add noise of `noise` levels' deviation."""
    pixels = np.array(image, dtype=np.float32)
    if falloff:
        angle = rng.uniform(0, 2 * math.pi)
        x = np.linspace(-1, 1, image.width, dtype=np.float32)[None, :] * math.cos(angle)
        y = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None] * math.sin(angle)
        light = (x + y) / (abs(math.cos(angle)) + abs(math.sin(angle)))
        pixels *= 1 - falloff * (light[..., None] + 1) / 2
    if noise:
        # The sum of two random bytes: at 8 bits as good as a normal number, for a fraction of its time.
        first, second = np.frombuffer(rng.bytes(2 * pixels.size), np.uint8).reshape(2, *pixels.shape)
        grain = first.astype(np.float32)
        grain += second
        grain -= 255
        grain *= noise / _BYTE_SUM_STD
        pixels += grain
    return Image.fromarray(pixels.clip(0, 255, out=pixels).astype(np.uint8))


def _compress(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=("JPEG",)) as compressed:
        return compressed.convert("RGB")
