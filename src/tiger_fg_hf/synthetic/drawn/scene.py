"""Listing pictures: a product in a studio, or among other products and under promotional overlays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops

from ..overlays import draw_stickers
from ..streams import pick, random_stream
from .backgrounds import ROOMS, STUDIO
from .products import CATEGORIES
from .render import VISIBLE_ALPHA, check_size, render_sprite
from .sampling import Product, sample_product
from .shadows import cast_shadow
from .view import View, listing_view

LAYOUTS = ("clean", "clutter")
#: Largest shares of the target's pixels that distractors and opaque overlays may hide, at most a quarter together.
OCCLUDED_SHARE, OVERLAID_SHARE = 0.14, 0.1
#: Range of the share of a cluttered picture that the target's box takes before anything hides it.
TARGET_AREA = (0.12, 0.4)
#: Longest side of the target as a share of a cluttered picture.
TARGET_SIDE = 0.92


@dataclass(frozen=True)
class Scene:
    """A listing picture, with the box and the masks of its target.

    Attributes:
        image: The picture, RGB, `size` x `size`.
        box: `(x0, y0, x1, y1)` in pixels, tight on `visible`; `x1` and `y1` are exclusive.
        target: Alpha of the target before anything hides it, mode "L".
        visible: 255 where the target is not hidden by a distractor, mode "L".
    """

    image: Image.Image
    box: tuple[int, int, int, int]
    target: Image.Image
    visible: Image.Image


def render_listing(
    product: Product, *, layout: str = "clean", size: int = 160, seed: int = 0
) -> tuple[Image.Image, list[int]]:
    """Render a listing picture of a product.

    Args:
        product: The target.
        layout: "clean" for a studio picture in which the product spans 55-90% of the side, or "clutter" for the target
            among one to three products of other categories in a room, under promotional overlays.
        size: Side of the picture in pixels, at least 32.
        seed: Chooses view, backdrop, distractors and overlays; 0 or more.

    Returns:
        The RGB picture, and the target's box `[x0, y0, x1, y1]` in pixels, tight on its visible pixels. In clutter
        at least 75% of the target is visible and its box takes 8-45% of the picture.

    Raises:
        ValueError: If `layout` is unknown, `size` is below 32, or `seed` is negative.
    """
    scene = compose_listing(product, layout=layout, size=size, seed=seed)
    return scene.image, list(scene.box)


def compose_listing(product: Product, *, layout: str, size: int, seed: int) -> Scene:
    """Render a listing as `render_listing` does, and return its masks too."""
    check_size(size)
    if layout not in LAYOUTS:
        raise ValueError(f"layout: expected one of {LAYOUTS}, found {layout!r}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    rng = random_stream("listing", layout, seed, product.item_id)
    return _clean(product, size, rng) if layout == "clean" else _clutter(product, size, rng)


def _visible_mask(alpha: Image.Image) -> Image.Image:
    return alpha.point(lambda value: 255 if value >= VISIBLE_ALPHA else 0)


def _tight_box(mask: Image.Image) -> tuple[int, int, int, int]:
    return mask.getbbox() or (0, 0, 0, 0)


def _layer_alpha(sprite: Image.Image, at: tuple[int, int], size: int) -> Image.Image:
    layer = Image.new("L", (size, size))
    layer.paste(sprite.getchannel("A"), at)
    return layer


def _lies_flat(product: Product) -> bool:
    return CATEGORIES[product.category].lies_flat


def _clean(product: Product, size: int, rng: np.random.Generator) -> Scene:
    flat = _lies_flat(product)
    # White is the most common; backdrops with a wall and a table are for standing products only.
    backdrop = STUDIO[int(rng.choice(2 if flat else 4, p=(0.65, 0.35) if flat else (0.45, 0.2, 0.2, 0.15)))]
    picture = backdrop(size, rng).image
    sprite = render_sprite(
        product, round(size * rng.uniform(0.62, 0.88)), listing_view(rng, tilt=12.0 if flat else 0.0)
    )
    x = (size - sprite.width) // 2 + round(size * rng.uniform(-0.03, 0.03))
    y = (size - sprite.height) // 2
    if not flat:
        y = min(size - sprite.height - round(size * 0.05), max(y, round(size * 0.88) - sprite.height))
    at = (int(np.clip(x, 0, size - sprite.width)), max(0, y))
    cast_shadow(picture, sprite, at, lies_flat=flat, side=pick(rng, (-1, 1)))
    picture.paste(sprite, at, sprite)
    target = _layer_alpha(sprite, at, size)
    visible = _visible_mask(target)
    return Scene(picture, _tight_box(visible), target, visible)


def _distractors(product: Product, rng: np.random.Generator) -> list[Product]:
    """Draw one to three products whose categories differ from the target's and from each other's.

    They come from a split of their own, so no distractor is the target of another row.
    """
    chosen: dict[str, Product] = {}
    count = int(rng.integers(1, 4))
    while len(chosen) < count:
        other = sample_product(int(rng.integers(2**20)), int(rng.integers(2**20)), "distractors")
        if other.category != product.category:
            chosen.setdefault(other.category, other)
    return list(chosen.values())


def _clutter(product: Product, size: int, rng: np.random.Generator) -> Scene:
    backdrop = pick(rng, ROOMS)(size, rng)
    picture, side = backdrop.image, pick(rng, (-1, 1))
    area = size * size * rng.uniform(*TARGET_AREA)
    sprite = render_sprite(product, round(size * TARGET_SIDE), _posed(product, rng), area=area)
    at = _position(sprite, size, backdrop.horizon, _lies_flat(product), rng)
    target = _layer_alpha(sprite, at, size)
    visible = _visible_mask(target)
    count = sum(visible.histogram()[128:])

    foot = at[1] + sprite.height
    things = [_Thing(sprite, at, _lies_flat(product), foot)]
    for other in _distractors(product, rng):
        thing = _place(other, size, backdrop.horizon, things, rng)
        if thing.depth > foot:
            rest = ImageChops.subtract(visible, _visible_mask(_layer_alpha(thing.sprite, thing.at, size)))
            if sum(rest.histogram()[128:]) >= (1.0 - OCCLUDED_SHARE) * count and _large_enough(rest, size):
                visible = rest
            else:
                # In front it would hide too much of the target, so it goes behind.
                thing = replace(thing, depth=foot - 1)
        things.append(thing)
    # Products lower in the picture are nearer and hide those behind them.
    for thing in sorted(things, key=lambda thing: (thing.depth, thing is things[0])):
        cast_shadow(picture, thing.sprite, thing.at, lies_flat=thing.lies_flat, side=side)
        picture.paste(thing.sprite, thing.at, thing.sprite)
    box = _tight_box(visible)
    # The product fills only part of its box, and overlays may hide that part.
    fill = count / ((box[2] - box[0]) * (box[3] - box[1]))
    stickers = int(rng.integers(1, 4))
    picture = draw_stickers(picture, rng, count=stickers, box=box, max_hidden=OVERLAID_SHARE * min(fill, 1.0))
    return Scene(picture, box, target, visible)


@dataclass(frozen=True)
class _Thing:
    """A sprite at its place in a picture; the greater its `depth`, the nearer it is."""

    sprite: Image.Image
    at: tuple[int, int]
    lies_flat: bool
    depth: int

    def shared_area(self, x: int, y: int, width: int, height: int) -> int:
        """Return how much of this sprite's box another box covers, in square pixels."""
        x0, y0 = self.at
        across = min(x0 + self.sprite.width, x + width) - max(x0, x)
        down = min(y0 + self.sprite.height, y + height) - max(y0, y)
        return max(0, across) * max(0, down)


def _posed(product: Product, rng: np.random.Generator) -> View:
    return listing_view(rng, tilt=18.0 if _lies_flat(product) else 3.0)


def _position(
    sprite: Image.Image, size: int, horizon: int, lies_flat: bool, rng: np.random.Generator, outside: float = 0.0
) -> tuple[int, int]:
    """Draw a place; standing products have their foot below the horizon, and a share `outside` may be cut off."""
    width, height = sprite.size
    x = rng.uniform(-outside * width, size - (1.0 - outside) * width)
    lowest = size - (1.0 - outside) * height
    highest = 0.0 if lies_flat else horizon + 0.04 * size - height
    y = rng.uniform(min(highest, lowest), lowest)
    return round(x), round(max(y, -outside * height))


def _large_enough(visible: Image.Image, size: int) -> bool:
    x0, y0, x1, y1 = _tight_box(visible)
    return (x1 - x0) * (y1 - y0) >= 0.085 * size * size


def _place(product: Product, size: int, horizon: int, things: list[_Thing], rng: np.random.Generator) -> _Thing:
    """Render a distractor, and place it where it overlaps least with the products already there."""
    sprite = render_sprite(product, int(size * rng.uniform(0.28, 0.52)), _posed(product, rng))
    flat = _lies_flat(product)
    places = [_position(sprite, size, horizon, flat, rng, outside=0.2) for _ in range(4)]
    width, height = sprite.size
    at = min(places, key=lambda place: sum(thing.shared_area(place[0], place[1], width, height) for thing in things))
    return _Thing(sprite, at, flat, at[1] + height)
