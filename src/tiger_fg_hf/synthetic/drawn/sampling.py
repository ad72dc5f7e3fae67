"""Sampling of products: categories in turn, and within each families of similar products."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..streams import pick, random_stream
from .marks import MARKS
from .palette import COLORS, contrasting_colors, nearest_color, vary_color
from .products import CATEGORIES
from .spec import MATERIAL_COLORS, Category, Look
from .titles import write_title

#: Keys of `Product.attributes`, in column order.
ATTRIBUTE_KEYS = (
    "brand",
    "color",
    "material",
    "shape",
    "detail",
    "pattern",
    "pattern_color",
    "mark",
    "mark_color",
    "accent",
    "accent_color",
)
#: Families per category: products of one family share shape and material and differ in color, pattern or mark.
FAMILIES = 10
BRANDS = (
    "Arvo",
    "Belmar",
    "Coppice",
    "Dunmore",
    "Elvi",
    "Fjora",
    "Grell",
    "Havn",
    "Ilara",
    "Juno & Co",
    "Kestrel",
    "Lumo",
    "Maren",
    "Nordal",
    "Oskari",
    "Pemba",
    "Quill",
    "Rovero",
    "Solvig",
    "Tamsin",
    "Umbra Lane",
    "Velta",
)


@dataclass(frozen=True)
class Product:
    """One product: its text, and everything that its pixels depend on.

    Attributes:
        item_id: Identifier, unique over splits, seeds and indices.
        title: Title as a shop writes it.
        category: Category name, a key of `CATEGORIES`.
        attributes: Values by `ATTRIBUTE_KEYS`; keys that do not apply are absent.
        look: Shape parameters, colors, pattern and mark.
    """

    item_id: str
    title: str
    category: str
    attributes: dict[str, str] = field(hash=False)
    look: Look = field(hash=False)


def _category_at(seed: int, index: int, split: str) -> Category:
    """Return the category of an index; each block of `len(CATEGORIES)` indices holds every category once."""
    names = list(CATEGORIES)
    block, place = divmod(index, len(names))
    order = random_stream("category order", seed, split, block).permutation(len(names))
    return CATEGORIES[names[order[place]]]


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return pick(rng, options) if options else ""


def sample_product(seed: int, index: int, split: str = "train") -> Product:
    """Draw product number `index` of a split.

    About a third of the products of a family also share the family's color, so that they differ only in a mark, a
    pattern, a secondary color or a detail.

    Args:
        seed: Seed of the catalog, 0 or more.
        index: Number of the product in its split, 0 or more.
        split: Name of the split; different splits draw from different random streams.

    Raises:
        ValueError: If `seed` or `index` is negative, or `split` is not a non-empty string.
    """
    if not isinstance(split, str) or not split:
        raise ValueError(f"split: expected a non-empty string, found {split!r}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    if index < 0:
        raise ValueError(f"index: expected 0 or more, found {index}")
    category = _category_at(seed, index, split)
    rng = random_stream("product", seed, split, index)
    family = random_stream("family", seed, split, category.name, int(rng.integers(FAMILIES)))

    shape = _choose(family, category.shapes)
    material = pick(family, category.materials)
    params = {name: float(np.clip(family.random() + rng.uniform(-0.12, 0.12), 0.0, 1.0)) for name in category.params}
    brand = pick(family, BRANDS)
    colors = [name for name in MATERIAL_COLORS.get(material, category.colors) if name in category.colors]
    family_color, family_detail = pick(family, colors), _choose(family, category.details)
    color_name = family_color if rng.random() < 0.35 else pick(rng, colors)
    detail = family_detail if rng.random() < 0.6 else _choose(rng, category.details)

    pattern, mark = "solid", ""
    if category.patterns and rng.random() < 0.4:
        pattern = pick(rng, category.patterns)
    elif category.markable and rng.random() < 0.7:
        mark = pick(rng, tuple(MARKS))
    contrasts = contrasting_colors(color_name)
    pattern_color, mark_color = pick(rng, contrasts), pick(rng, contrasts)
    accents = [name for name in category.accents if name != color_name]
    accent_color = pick(rng, accents)

    # The label behind these marks is off-white, so their ink must be dark.
    if category.name in ("jar", "perfume") and mark:
        mark_color = pick(rng, ("black", "navy", "burgundy", "green", "red", "purple", "teal", "brown"))
    if category.name == "wall clock" and mark:
        mark_color = pick(rng, contrasting_colors(accent_color))
    if category.name == "candle" and detail == "label" and mark:
        mark_color = pick(rng, contrasting_colors(accent_color))
    has_accent = bool(category.accent) and not (category.name == "candle" and detail != "label")

    attributes = {"brand": brand, "color": color_name, "material": material}
    optional = {
        "shape": shape,
        "detail": detail,
        "pattern": pattern,
        "pattern_color": pattern_color if pattern != "solid" else "",
        "mark": mark,
        "mark_color": mark_color if mark else "",
        "accent": category.accent if has_accent else "",
        "accent_color": accent_color if has_accent else "",
    }
    attributes.update({key: value for key, value in optional.items() if value})
    look = Look(
        shape=shape,
        detail=detail,
        params=params,
        color=_named_shade(color_name, rng),
        material=material,
        accent=_named_shade(accent_color, rng),
        pattern=pattern,
        pattern_color=_named_shade(pattern_color, rng),
        pattern_scale=float(rng.uniform(*category.pattern_scale)),
        mark=mark,
        mark_color=_named_shade(mark_color, rng),
        noise_seed=int(rng.integers(2**31)),
    )
    title = write_title(category, attributes, rng)
    return Product(f"{split}-{seed}-{index:06d}", title, category.name, attributes, look)


def _named_shade(name: str, rng: np.random.Generator):
    """Return a shade of a color that is nearer to its name than to any other."""
    shade = vary_color(name, rng)
    return shade if nearest_color(shade) == name else COLORS[name]
