"""Scenes: listing pictures as marketplaces show them, with one product on a photographic backdrop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from ..synthetic.backdrops import Backgrounds
from ..synthetic.compositing import harmonize, shade
from ..synthetic.overlays import FontSet, draw_overlays
from ..synthetic.overlays.layout import Spot, overlap
from .boxes import clip_box
from .clutter import as_backgrounds
from .draws import DrawConfig, Range
from .matte import VISIBLE_ALPHA, channel_extremes, matte_extent, split_shadow
from .mosaic import Product
from .scene_backdrops import SceneBackdrops

# Shares of the picture that stay free around a product.
_MARGIN = 0.04
# Row of a standing product's foot, as a share of the height from the top.
_FOOT = (0.84, 0.93)
# How far a product's center may lie from the middle of the picture, as a share of its side.
_OFF_CENTER = 0.08
# A prop is compact, and not cut by the edge of its photo.
_MAX_ASPECT = 2.2
_MIN_FILL = 0.4
# Largest height of a prop, as a share of the product's, and largest share of the product's box that it hides.
_PROP_HEIGHT = 0.55
_MAX_HIDDEN = 0.05
# A prop that hides more shrinks by this factor of its area.
_SHRINK = 0.8
# The lowest rows of a product, as a share of its height; narrower ones carry nothing, as a share of its width.
_TREAD, _MIN_TREAD = 0.08, 0.2
# A product that touches its photo's upper edge with less than this share of its width is cut by it.
_CUT = 0.5
# A reflection on a glossy studio floor is pale and gray. It takes more than the first share of a product's lower half,
# and the upper half has less than the second share of such pixels.
_GLOSS_MIN, _GLOSS_SPREAD = 185, 22
_GLOSS_BELOW, _GLOSS_ABOVE = 0.35, 0.1
_OVERLAY_TRIES = 6
# An alpha from which an overlay visibly changes a pixel.
_COVERED_ALPHA = 26
_WHITE = 235


@dataclass(frozen=True)
class SceneConfig(DrawConfig):
    """How scenes are composed. Ranges are drawn from uniformly; probabilities are in [0, 1].

    Attributes:
        size: Side of the square picture in pixels.
        area: Area of the product's box as a share of the picture. A long, thin product stays smaller, to fit.
        above_probability: How often a product lies on a surface seen from above. Otherwise it stands on one, unless
            its lower end is too narrow or its photo cuts the chains that it hangs by.
        blurred_probability: How often what is behind a standing product is all out of focus, without a floor.
        brightness: Mean level of a backdrop made from a photo, from 0 to 255.
        rotation: Largest rotation of a lying product either way, in degrees.
        prop_probability: How often a prop is tried. It is left out where it would not fit.
        prop_area: Area of the prop's box as a share of the product's.
        harmony: How far the product takes the light of its backdrop, in [0, 1].
        shadow_strength: How dark shadows are, in [0, 1].
        falloff: How much light falls off across the picture, in [0, 1].
        noise: Standard deviation of the noise in levels.
        overlay_probability: How often promotional overlays of the level "light" are drawn.
        max_covered: Largest share of the product that overlays may cover; those that cover more are drawn anew, or
            left out.
    """

    size: Annotated[int, "[48, inf)"] = 256
    area: Annotated[Range, "(0, 1]"] = (0.25, 0.7)
    above_probability: float = 0.3
    blurred_probability: float = 0.35
    brightness: Annotated[Range, "[0, 255]"] = (165, 222)
    rotation: Annotated[float, "[0, 45]"] = 5.0
    prop_probability: float = 0.4
    prop_area: Annotated[Range, "(0, 1)"] = (0.06, 0.2)
    harmony: Annotated[Range, "[0, 1]"] = (0.3, 0.7)
    shadow_strength: Annotated[Range, "[0, 1]"] = (0.35, 0.6)
    falloff: Annotated[Range, "[0, 1]"] = (0.0, 0.12)
    noise: Range = (0.5, 2.5)
    overlay_probability: float = 0.6
    max_covered: Annotated[float, "[0, 1]"] = 0.06


class Scene(NamedTuple):
    """A scene.

    Attributes:
        image: RGB, `size` x `size` pixels.
        box: Tight box `[x0, y0, x1, y1]` of the product in pixels, including what hides it; None if unknown.
        prop: Index of the prop among the candidates, or None.
        covered: Share of the product that overlays cover: of its visible pixels, or else of its box, or else of the
            middle of the picture.
        visible: Where the product is, `[size, size]` bool; None without a matte.
    """

    image: Image.Image
    box: list[float] | None
    prop: int | None
    covered: float
    visible: np.ndarray | None


class SceneComposer:
    """Show a product as a marketplace's listing does.

    A product with a matte is cut out and set on a backdrop, with its shadow and in the backdrop's light, at times next
    to a smaller prop. The photo of a product without one, or with a reflection in it, is cropped or gains a white
    margin. Promotional overlays come last.

    Args:
        config: Probabilities and ranges; the defaults of `SceneConfig` if None.
        clutter: Photos to make backdrops from, a `ClutterBank` or images to build one from; drawn if None.
        fonts: Fonts of the overlays' text; `default_fonts()` if None.

    Example:
        >>> import numpy as np
        >>> photo = np.full((60, 60, 3), 255, np.uint8)
        >>> photo[10:50, 15:45] = 90
        >>> alpha = np.where(photo[..., 0] == 90, 255, 0).astype(np.uint8)
        >>> scene = SceneComposer(SceneConfig(size=64))(Product(photo, alpha), np.random.default_rng(0))
        >>> scene.image.size, scene.box is None
        ((64, 64), False)
    """

    def __init__(
        self,
        config: SceneConfig | None = None,
        clutter: Backgrounds | Iterable[Any] | None = None,
        fonts: FontSet | None = None,
    ):
        self.config = config or SceneConfig()
        self.fonts = fonts
        photos = None if clutter is None else as_backgrounds(clutter)
        self._backdrops = SceneBackdrops(photos, self.config.brightness)

    def __call__(self, product: Product, rng: np.random.Generator, props: Sequence[Product] = ()) -> Scene:
        """Compose one scene.

        Args:
            product: What to show.
            rng: The only source of randomness: the same products and generator state give the same scene.
            props: Candidates for the prop, of other categories; the first that is compact and has a matte is tried.
        """
        size = self.config.size
        of_photo, of_overlays = (np.random.default_rng(seed) for seed in rng.integers(2**63, size=2).tolist())
        visible: np.ndarray | None = None
        prop: int | None = None
        box: list[float] | None
        product = _without_shadow(product)
        if product.alpha is not None:
            image, box, prop, visible = self._compose(product, props, of_photo)
            region = visible
        else:
            image, box = self._reframe(product, of_photo)
            region = np.zeros((size, size), bool)
            x0, y0, x1, y1 = (round(side) for side in box or (0.2 * size, 0.2 * size, 0.8 * size, 0.8 * size))
            region[max(y0, 0) : y1, max(x0, 0) : x1] = True
        image, covered = self._with_overlays(image, box, region, of_overlays)
        return Scene(image, box, prop, covered, visible)

    def _compose(
        self, product: Product, props: Sequence[Product], rng: np.random.Generator
    ) -> tuple[Image.Image, list[float], int | None, np.ndarray]:
        config, size = self.config, self.config.size
        assert product.alpha is not None
        hangs = _hangs(product.alpha)
        above = rng.random() < config.above_probability or hangs or not _stands(product.alpha)
        blurred = rng.random() < config.blurred_probability
        stage = self._backdrops.sample("above" if above else "blurred" if blurred else "room", rng, size)
        sprite = self._sprite(product, above and not hangs, rng)
        foot = round(size * rng.uniform(*_FOOT))
        sprite = self._scaled(sprite, rng.uniform(*config.area) * size**2, above, foot)

        # Only as many candidates are looked at as it takes to find one.
        fit = ((index, other) for index, other in enumerate(map(_without_shadow, props)) if _is_compact(other))
        candidate, prop = next(fit, (None, None)) if rng.random() < config.prop_probability else (None, None)
        side = int(rng.integers(2))  # 0 puts the prop on the left
        middle = 0.5 + rng.uniform(-_OFF_CENTER, _OFF_CENTER)
        if prop is not None:
            middle = 1.0 if side == 0 else 0.0
        x = _inside(middle * size - sprite.width / 2, sprite.width, size)
        if hangs:
            y = 0  # the picture's edge cuts it as its photo did
        elif above:
            y = _inside(size * rng.uniform(0.45, 0.55) - sprite.height / 2, sprite.height, size)
        else:
            y = foot - sprite.height
        own = (x, y, x + sprite.width, y + sprite.height)

        image = stage.image.copy()
        pieces = [(sprite, own)]
        if prop is not None:
            placed = self._prop(prop, own, side, above, rng)
            if placed is None:
                candidate = None
            else:
                # What stands farther back is painted first.
                pieces.insert(0 if placed[1][3] <= own[3] else 1, placed)
        strength, light = rng.uniform(*config.shadow_strength), rng.uniform(*config.harmony)
        lean = 1 if rng.random() < 0.5 else -1
        for piece, spot in pieces:
            _cast_shadow(image, piece.getchannel("A"), spot, strength, lean, lies=above)
        for piece, spot in pieces:
            lit = harmonize(piece.convert("RGB"), stage.image.crop(spot), light)
            image.paste(lit, spot[:2], piece.getchannel("A"))
        image = shade(image, rng.uniform(*config.falloff), rng.uniform(*config.noise), rng)
        visible = np.zeros((size, size), bool)
        visible[own[1] : own[3], own[0] : own[2]] = np.asarray(sprite.getchannel("A")) >= VISIBLE_ALPHA
        return image, [float(edge) for edge in own], candidate, visible

    def _sprite(self, product: Product, lies: bool, rng: np.random.Generator) -> Image.Image:
        """Cut a product out, and rotate it if it lies: RGBA, cropped to its visible pixels."""
        assert product.alpha is not None
        image = Image.fromarray(np.ascontiguousarray(product.photo))
        image.putalpha(Image.fromarray(np.ascontiguousarray(product.alpha)))
        angle = rng.uniform(-1, 1) * self.config.rotation
        if lies:
            # Premultiplied, so that the color of transparent pixels does not bleed in.
            image = image.convert("RGBa").rotate(angle, Image.Resampling.BICUBIC, expand=True).convert("RGBA")
        return image.crop(_extent(np.asarray(image.getchannel("A"))))

    def _scaled(self, sprite: Image.Image, area: float, lies: bool, foot: int) -> Image.Image:
        """Scale a sprite to an area of its box, or as large as fits."""
        size, margin = self.config.size, _MARGIN * self.config.size
        room = (size - 2 * margin, size - 2 * margin if lies else foot - margin)
        scale = min(math.sqrt(area / (sprite.width * sprite.height)), room[0] / sprite.width, room[1] / sprite.height)
        return _resized(sprite, scale)

    def _prop(
        self, prop: Product, own: Spot, side: int, lies: bool, rng: np.random.Generator
    ) -> tuple[Image.Image, Spot] | None:
        """Scale and place a prop beside the product; None if it would hide too much of it."""
        size = self.config.size
        width, height = own[2] - own[0], own[3] - own[1]
        sprite = self._sprite(prop, lies, rng)
        smallest, largest = self.config.prop_area
        area, height_of, foot = rng.uniform(smallest, largest), rng.random(), rng.uniform(-0.05, 0.04)
        gap = round(0.02 * size)
        while area >= smallest:
            scale = math.sqrt(area * width * height / (sprite.width * sprite.height))
            piece = _resized(sprite, min(scale, _PROP_HEIGHT * height / sprite.height))
            x = gap if side == 0 else size - gap - piece.width
            if lies:
                y = round(gap + height_of * (size - 2 * gap - piece.height))
            else:
                y = min(own[3] + round(size * foot), size - gap) - piece.height
            spot = (x, y, x + piece.width, y + piece.height)
            if overlap(spot, own) <= _MAX_HIDDEN * width * height:
                return piece, spot
            area *= _SHRINK
        return None

    def _reframe(self, product: Product, rng: np.random.Generator) -> tuple[Image.Image, list[float] | None]:
        """Crop a photo to a square; one on white may gain a white margin instead."""
        size = self.config.size
        photo = Image.fromarray(np.ascontiguousarray(product.photo))
        x0, y0, x1, y1 = clip_box(product.box, photo.size)
        border = np.concatenate([product.photo[0], product.photo[-1], product.photo[:, 0], product.photo[:, -1]])
        on_white = bool((border.min(axis=1) >= _WHITE).mean() > 0.6)
        side = min(photo.size) * rng.uniform(0.85, 1.0)
        share = rng.uniform(*self.config.area)
        if product.box is not None:
            side = max(math.sqrt((x1 - x0) * (y1 - y0) / share), 1.04 * (x1 - x0), 1.04 * (y1 - y0))
        if not on_white:
            side = min(side, max(photo.size))
        window = [
            _window(length, side, None if product.box is None else bounds, rng)
            for length, bounds in zip(photo.size, ((x0, x1), (y0, y1)), strict=True)
        ]
        scale = size / side
        if on_white:
            image = Image.new("RGB", (size, size), "white")
        else:
            # A photo that does not fill the square is continued by itself, blurred.
            image = ImageOps.fit(photo, (size, size), Image.Resampling.BICUBIC)
            image = image.filter(ImageFilter.GaussianBlur(0.06 * size))
        scaled = _resized(photo, scale)
        image.paste(scaled, (round(-window[0] * scale), round(-window[1] * scale)))
        if product.box is None:
            return image, None
        box = [(edge - window[index % 2]) * scale for index, edge in enumerate((x0, y0, x1, y1))]
        return image, [min(max(edge, 0.0), float(size)) for edge in box]

    def _with_overlays(
        self, image: Image.Image, box: list[float] | None, region: np.ndarray, rng: np.random.Generator
    ) -> tuple[Image.Image, float]:
        if rng.random() >= self.config.overlay_probability:
            return image, 0.0
        for _ in range(_OVERLAY_TRIES):
            promotion = draw_overlays(image, "light", rng, box=box, fonts=self.fonts)
            covered = float((promotion.alpha[region] >= _COVERED_ALPHA).mean())
            if covered <= self.config.max_covered:
                return promotion.image, covered
        return image, 0.0


def _cast_shadow(
    image: Image.Image,
    alpha: Image.Image,
    spot: Spot,
    strength: float,
    lean: int,
    *,
    lies: bool,
) -> None:
    """Darken an image, in place, where a sprite touches its surface, and more softly around it."""
    width, height = alpha.size
    if lies:
        offset = max(1, round(0.025 * max(width, height)))
        layers = [(alpha, (lean * offset, offset), 0.035 * max(width, height), 0.8)]
        layers.append((alpha, (lean, 1), 0.008 * image.width, 0.7))
    else:
        # From above, the product shades a flat shape around its foot; what touches the ground shades it most.
        depth = max(3, round(0.16 * min(width, height)))
        flat = alpha.resize((width, depth), Image.Resampling.BOX)
        tread = alpha.crop((0, height - max(1, round(_TREAD * height)), width, height))
        tread = tread.resize((width, max(2, round(0.3 * depth))), Image.Resampling.BOX)
        base = spot[3] - spot[1]
        layers = [(flat, (lean * round(0.2 * depth), base - round(0.7 * depth)), 0.3 * depth, 0.8)]
        layers.append((tread, (0, base - round(0.7 * tread.height)), 0.008 * image.width, 1.0))
    for shape, (right, down), radius, share in layers:
        levels = [round(value * strength * share) for value in range(256)]
        dark = Image.new("L", image.size)
        dark.paste(shape.point(levels), (spot[0] + right, spot[1] + down))
        image.paste((18, 15, 14), (0, 0), dark.filter(ImageFilter.GaussianBlur(radius)))


def _without_shadow(product: Product) -> Product:
    """Take what is left of a shadow out of a matte; take the matte away if it shows nothing, or a reflection."""
    if product.alpha is None:
        return product
    alpha, _ = split_shadow(product.photo, product.alpha)
    failed = matte_extent(alpha) is None or _reflects(product.photo, alpha)
    return product._replace(alpha=None if failed else alpha)


def _reflects(photo: np.ndarray, alpha: np.ndarray) -> bool:
    """Return whether a matte contains the product's reflection, which no backdrop but its own fits."""
    darkest, brightest = channel_extremes(photo)
    visible = alpha >= VISIBLE_ALPHA
    pale = visible & (darkest >= _GLOSS_MIN) & (brightest - darkest <= _GLOSS_SPREAD)
    _, y0, _, y1 = _extent(alpha)
    middle = (y0 + y1) // 2
    above, below = (pale[part].sum() / max(visible[part].sum(), 1) for part in (slice(middle), slice(middle, None)))
    return bool(below > _GLOSS_BELOW and above < _GLOSS_ABOVE)


def _extent(alpha: np.ndarray) -> Spot:
    """Return the box of a matte's visible pixels; all of it if there are none."""
    return matte_extent(alpha) or (0, 0, alpha.shape[1], alpha.shape[0])


def _stands(alpha: np.ndarray) -> bool:
    """Return whether a product could stand on its lower end: whether that is wide enough."""
    x0, y0, x1, y1 = _extent(alpha)
    tread = _extent(alpha[y1 - max(1, round(_TREAD * (y1 - y0))) : y1])
    return tread[2] - tread[0] >= _MIN_TREAD * (x1 - x0)


def _hangs(alpha: np.ndarray) -> bool:
    """Return whether the photo's upper edge cuts a product that hangs: by two chains, or without a foot."""
    x0, _, x1, _ = _extent(alpha)
    cut = alpha[0] >= VISIBLE_ALPHA
    pieces = np.count_nonzero(cut[1:] & ~cut[:-1]) + int(cut[0])
    touches = bool(0 < cut.sum() < _CUT * (x1 - x0))
    return touches and (bool(pieces > 1) or not _stands(alpha))


def _is_compact(product: Product) -> bool:
    """Return whether a product can be a prop: cut out whole, compact and solid."""
    if product.alpha is None or (extent := matte_extent(product.alpha)) is None:
        return False
    x0, y0, x1, y1 = extent
    height, width = product.alpha.shape
    whole = x0 > 0 and y0 > 0 and x1 < width and y1 < height
    aspect = max(x1 - x0, y1 - y0) / min(x1 - x0, y1 - y0)
    fill = (product.alpha[y0:y1, x0:x1] >= VISIBLE_ALPHA).mean()
    return bool(whole and aspect <= _MAX_ASPECT and fill >= _MIN_FILL)


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if image.mode == "RGBA":
        return image.convert("RGBa").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0).convert("RGBA")
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _inside(start: float, length: int, size: int) -> int:
    """Return the start of a span of `length`, moved into the picture's margins."""
    margin = round(_MARGIN * size)
    return int(min(max(round(start), margin), size - margin - length))


def _window(length: int, side: float, bounds: tuple[float, float] | None, rng: np.random.Generator) -> float:
    """Draw where a window of `side` starts, so that it contains `bounds` and as much of the photo as possible."""
    low, high = min(0.0, length - side), max(0.0, length - side)
    if side >= length:
        return (length - side) / 2
    if bounds is not None:
        low, high = max(low, bounds[1] - side), min(high, bounds[0])
    return float(rng.uniform(low, max(low, high)))
