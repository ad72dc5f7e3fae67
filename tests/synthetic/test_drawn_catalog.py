"""The drawn catalog: its text matches its pixels, its boxes match its masks, and it is reproducible."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf.synthetic.drawn import (
    ATTRIBUTE_KEYS,
    CATEGORIES,
    View,
    compose_listing,
    drawn_catalog,
    render_listing,
    render_product,
    render_query,
    sample_product,
)
from tiger_fg_hf.synthetic.drawn.backgrounds import ROOMS, SNAPSHOTS, STUDIO
from tiger_fg_hf.synthetic.drawn.palette import COLORS, nearest_color, rgb_to_lab
from tiger_fg_hf.synthetic.drawn.render import VISIBLE_ALPHA
from tiger_fg_hf.synthetic.drawn.scene import OCCLUDED_SHARE, OVERLAID_SHARE

COUNT = len(CATEGORIES)
PRODUCTS = [sample_product(0, index) for index in range(3 * COUNT)]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


def color_shares(picture: Image.Image) -> Counter[str]:
    """Count the visible pixels of a product by their nearest color name."""
    array = pixels(picture)
    lab = rgb_to_lab(array[array[..., 3] > 200][:, :3])
    centres = rgb_to_lab(np.array(list(COLORS.values())))
    nearest = np.linalg.norm(lab[:, None] - centres, axis=-1).argmin(axis=1)
    return Counter(np.array(list(COLORS))[nearest].tolist())


def tight_box(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


class TestProducts:
    def test_there_are_at_least_24_categories_and_every_block_holds_them_all(self):
        assert COUNT >= 24
        for block in range(3):
            assert {p.category for p in PRODUCTS[block * COUNT : (block + 1) * COUNT]} == set(CATEGORIES)

    def test_same_arguments_give_the_same_product(self):
        assert sample_product(4, 9, "test") == sample_product(4, 9, "test")

    def test_splits_and_seeds_hold_different_products(self):
        looks = [
            sample_product(seed, i, split).look for seed in (0, 1) for split in ("train", "test") for i in range(50)
        ]
        assert len({str(look) for look in looks}) == len(looks)

    def test_products_of_one_category_are_told_apart_by_their_attributes(self):
        described = Counter(
            (p.category, *sorted(p.attributes.items())) for p in (sample_product(0, i) for i in range(1000))
        )
        repeated = sum(count - 1 for count in described.values())
        assert repeated <= 10

    def test_some_products_share_all_but_one_attribute(self):
        by_category: dict[str, list] = {}
        for product in (sample_product(0, i) for i in range(12 * COUNT)):
            by_category.setdefault(product.category, []).append(product.attributes)
        close = sum(
            sum(a.get(key) != b.get(key) for key in ATTRIBUTE_KEYS) <= 3
            for group in by_category.values()
            for i, a in enumerate(group)
            for b in group[:i]
        )
        assert close >= 20

    def test_text_names_what_the_product_is(self):
        for product in PRODUCTS:
            words = product.title.lower()
            assert "none" not in words.split()
            assert product.attributes["color"] in words
            assert product.attributes["material"] in words
            assert any(noun in words for noun in CATEGORIES[product.category].nouns)
            assert set(product.attributes) <= set(ATTRIBUTE_KEYS)
            assert all(isinstance(value, str) and value for value in product.attributes.values())
            if product.look.mark:
                assert product.look.mark in words
            if product.look.pattern != "solid":
                assert product.look.pattern in words
                assert product.attributes["pattern_color"] in words

    @pytest.mark.parametrize(
        ("arguments", "message"), [((-1, 0), "seed"), ((0, -1), "index"), ((0, 0, ""), "split"), ((0, 0, 3), "split")]
    )
    def test_bad_arguments_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            sample_product(*arguments)


class TestPixels:
    def test_shades_keep_their_names(self):
        for product in PRODUCTS:
            assert nearest_color(product.look.color) == product.attributes["color"]
            if "accent_color" in product.attributes:
                assert nearest_color(product.look.accent) == product.attributes["accent_color"]

    def test_plain_products_show_their_named_color(self):
        plain = [p for p in PRODUCTS if p.look.pattern == "solid"]
        shown = 0
        for product in plain:
            # The body may come second: a mark, a shaded side or a second material may have more pixels.
            first_two = [name for name, _ in color_shares(render_product(product, 64)).most_common(2)]
            shown += product.attributes["color"] in first_two
        assert shown >= 0.93 * len(plain)

    @pytest.mark.parametrize("field", ["pattern", "mark"])
    def test_a_pattern_or_a_mark_changes_the_pixels(self, field):
        for product in PRODUCTS:
            bare = {"pattern": "solid", "mark": ""}[field]
            if getattr(product.look, field) == bare:
                continue
            without = replace(product, look=replace(product.look, **{field: bare}))
            difference = np.abs(pixels(render_product(product, 64)) - pixels(render_product(without, 64)))
            assert (difference.max(axis=-1) > 30).sum() >= 12, product.title

    def test_products_of_one_category_differ(self):
        by_category: dict[str, list[np.ndarray]] = {}
        for product in PRODUCTS:
            by_category.setdefault(product.category, []).append(pixels(render_product(product, 48)))
        for category, pictures in by_category.items():
            for i, picture in enumerate(pictures):
                for other in pictures[:i]:
                    assert np.abs(picture - other).mean() > 1.0, category

    def test_view_sets_scale_light_and_viewpoint(self):
        product = next(p for p in PRODUCTS if p.category == "mug" and p.look.mark)
        plain = render_product(product, 96)
        small = render_product(product, 96, view=View(scale=0.5))
        x0, y0, x1, y1 = small.getbbox()
        assert max(x1 - x0, y1 - y0) == pytest.approx(48, abs=3)
        dark = render_product(product, 96, view=View(brightness=0.6))
        assert pixels(dark)[..., :3].sum() < 0.7 * pixels(plain)[..., :3].sum()
        for view in (View(roll=20.0), View(yaw=30.0), View(flip=True), View(light_angle=0.0), View(elevation=0.3)):
            assert (pixels(render_product(product, 96, view=view)) != pixels(plain)).any()

    def test_bad_arguments_are_named(self):
        with pytest.raises(ValueError, match="size"):
            render_product(PRODUCTS[0], 16)
        with pytest.raises(ValueError, match="scale"):
            render_product(PRODUCTS[0], 64, view=View(scale=1.5))


class TestListings:
    @pytest.mark.parametrize("layout", ["clean", "clutter"])
    def test_box_is_tight_and_target_stays_visible(self, layout):
        size = 96
        for seed, product in enumerate(PRODUCTS[:70]):
            scene = compose_listing(product, layout=layout, size=size, seed=seed)
            target, visible = pixels(scene.target) >= VISIBLE_ALPHA, pixels(scene.visible) > 0
            assert scene.image.mode == "RGB"
            assert scene.image.size == (size, size)
            assert list(scene.box) == tight_box(visible)
            x0, y0, x1, y1 = scene.box
            assert 0 <= x0 < x1 <= size
            assert 0 <= y0 < y1 <= size
            assert not (visible & ~target).any()
            if layout == "clean":
                assert (visible == target).all()
                assert 0.55 <= max(x1 - x0, y1 - y0) / size <= 0.9
            else:
                assert visible.sum() >= 0.75 * target.sum()
                assert 0.08 <= (x1 - x0) * (y1 - y0) / size**2 <= 0.45

    def test_overlays_leave_three_quarters_of_the_target(self):
        # Distractors hide at most 14% of the target's pixels, and overlays as many as 10% of them.
        assert OCCLUDED_SHARE + OVERLAID_SHARE <= 0.25

    def test_target_is_where_the_box_says(self):
        product = PRODUCTS[1]
        image, (x0, y0, x1, y1) = render_listing(product, layout="clean", size=96, seed=2)
        outside = pixels(image).copy()
        corner = outside[0, 0]
        inside = np.abs(outside[y0:y1, x0:x1] - corner).max(axis=-1) > 40
        assert inside.mean() > 0.15

    def test_seed_changes_the_picture_and_only_the_seed(self):
        product = PRODUCTS[5]
        first, box = render_listing(product, layout="clutter", size=64, seed=1)
        again, box_again = render_listing(product, layout="clutter", size=64, seed=1)
        other, _ = render_listing(product, layout="clutter", size=64, seed=2)
        assert first.tobytes() == again.tobytes()
        assert box == box_again
        assert first.tobytes() != other.tobytes()

    @pytest.mark.parametrize(
        ("arguments", "message"), [({"layout": "tidy"}, "layout"), ({"size": 31}, "size"), ({"seed": -1}, "seed")]
    )
    def test_bad_arguments_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            render_listing(PRODUCTS[0], **arguments)


class TestQueries:
    def test_query_is_another_view_that_fills_the_picture(self):
        for product in PRODUCTS[:8]:
            first, second = (render_query(product, size=64, seed=seed) for seed in (0, 1))
            assert first.mode == "RGB"
            assert first.size == (64, 64)
            assert first.tobytes() == render_query(product, size=64, seed=0).tobytes()
            assert first.tobytes() != second.tobytes()

    def test_backdrops_of_queries_and_listings_are_disjoint(self):
        assert not set(SNAPSHOTS) & {*ROOMS, *STUDIO}

    @pytest.mark.parametrize(("arguments", "message"), [({"size": 8}, "size"), ({"seed": -2}, "seed")])
    def test_bad_arguments_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            render_query(PRODUCTS[0], **arguments)


class TestCatalog:
    def test_columns_types_and_rows(self):
        catalog = drawn_catalog(num_products=4, size=48, views=2)
        assert catalog.column_names == [
            "item_id",
            "image",
            "title",
            "category",
            "attributes",
            "box",
            "query_image",
        ]
        assert catalog["item_id"][:4] == ["train-0-000000"] * 2 + ["train-0-000001"] * 2
        row = catalog[0]
        assert row["image"].size == row["query_image"].size == (48, 48)
        assert set(row["attributes"]) == set(ATTRIBUTE_KEYS)
        assert len(row["box"]) == 4
        assert pixels(row["image"]).tolist() != pixels(catalog[1]["image"]).tolist()
        assert row["title"] == catalog[1]["title"]

    def test_queries_can_be_left_out(self):
        assert "query_image" not in drawn_catalog(num_products=1, size=32, with_queries=False).column_names

    def test_other_processes_draw_the_same_bytes(self):
        arguments = {"num_products": 6, "size": 48, "seed": 3, "split": "test"}
        here, there = (drawn_catalog(**arguments, num_proc=n).data.table.to_pydict() for n in (None, 2))
        assert here == there

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_products": 0}, "num_products"),
            ({"views": 0}, "views"),
            ({"size": 31}, "size"),
            ({"size": 48.0}, "size"),
            ({"layout": "messy"}, "layout"),
            ({"split": ""}, "split"),
            ({"seed": -1}, "seed"),
            ({"num_proc": 0}, "num_proc"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            drawn_catalog(**{"num_products": 1, **arguments})
