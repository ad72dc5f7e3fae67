"""Scenes: one product on a photographic backdrop, with a prop and overlays at times."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.mosaic import Product
from tiger_fg_hf.data.scene import SceneComposer, SceneConfig

SIZE = 96
PLAIN = SceneConfig(
    size=SIZE,
    prop_probability=0.0,
    overlay_probability=0.0,
    harmony=(0.0, 0.0),
    falloff=(0.0, 0.0),
    noise=(0.0, 0.0),
    rotation=0.0,
)


def shape(width: int, height: int, color=(200, 30, 40), *, matte: bool = True, side: int = 80) -> Product:
    """A solid rectangle in the middle of a white photo."""
    photo = np.full((side, side, 3), 255, np.uint8)
    x0, y0 = (side - width) // 2, (side - height) // 2
    photo[y0 : y0 + height, x0 : x0 + width] = color
    alpha = np.where((photo != 255).any(axis=2), 255, 0).astype(np.uint8)
    box = [x0, y0, x0 + width, y0 + height]
    return Product(photo, alpha if matte else None, box)


def compose(product: Product, seed: int, config: SceneConfig = PLAIN, props=(), clutter=None):
    return SceneComposer(config, clutter)(product, np.random.default_rng(seed), props)


@pytest.fixture(scope="module")
def clutter():
    levels = np.random.default_rng(0).integers(60, 200, (6, 8, 8, 3), dtype=np.uint8)
    return ClutterBank([Image.fromarray(photo) for photo in levels], side=SIZE)


@pytest.mark.parametrize("with_clutter", [False, True])
def test_the_same_seed_gives_the_same_pixels(clutter, with_clutter):
    config, backgrounds = SceneConfig(size=SIZE), clutter if with_clutter else None
    product, props = shape(40, 50), [shape(30, 30, (20, 60, 200))]
    first, again, other = (compose(product, seed, config, props, backgrounds) for seed in (0, 0, 1))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.box == again.box
    assert first.image.tobytes() != other.image.tobytes()
    assert first.image.size == (SIZE, SIZE)


@pytest.mark.parametrize("seed", range(8))
def test_the_box_is_tight_around_the_visible_pixels(clutter, seed):
    scene = compose(shape(40, 50), seed, replace(PLAIN, rotation=10.0), clutter=clutter)
    x0, y0, x1, y1 = scene.box
    assert min(x0, y0) >= 0
    assert max(x1, y1) <= SIZE
    rows, columns = np.nonzero(scene.visible)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == scene.box
    red = (np.asarray(scene.image).astype(int) @ [1, -1, 0] > 110) & scene.visible
    assert red.sum() > 0.8 * scene.visible.sum()


@pytest.mark.parametrize("with_matte", [True, False])
def test_areas_keep_their_range(with_matte):
    product = shape(45, 45, matte=with_matte)
    areas = []
    for seed in range(30):
        x0, y0, x1, y1 = compose(product, seed).box
        areas.append((x1 - x0) * (y1 - y0) / SIZE**2)
    assert 0.24 <= min(areas) < 0.35
    assert 0.55 < max(areas) <= 0.71


def test_a_long_product_fits_and_stays_smaller():
    x0, y0, x1, y1 = compose(shape(70, 4), 0).box
    assert x1 - x0 > 0.8 * SIZE
    assert (x1 - x0) * (y1 - y0) < 0.25 * SIZE**2


def test_a_product_stands_unless_its_foot_is_narrow_or_its_photo_cuts_it():
    standing = replace(PLAIN, above_probability=0.0)
    feet = [compose(shape(40, 40), seed, standing).box[3] / SIZE for seed in range(10)]
    assert min(feet) > 0.8
    cone = shape(40, 40)
    for row in range(40):
        cone.alpha[20 + row, : 20 + row // 2] = cone.alpha[20 + row, 60 - row // 2 :] = 0
    assert min(compose(cone, seed, standing).box[3] / SIZE for seed in range(10)) < 0.8
    necklace = shape(40, 40)
    for left in (25, 50):
        necklace.alpha[:30, left : left + 4] = 255
        necklace.photo[:30, left : left + 4] = (200, 30, 40)
    assert all(compose(necklace, seed, standing).box[1] == 0 for seed in range(5))


def test_a_prop_is_smaller_and_leaves_the_product_clear(clutter):
    config = replace(PLAIN, prop_probability=1.0)
    product, prop = shape(40, 50), shape(30, 30, (20, 60, 240))
    # The first candidates are not fit for a prop: one has no matte, one is cut, one is long.
    unfit = [shape(30, 30, matte=False), shape(80, 80), shape(60, 6)]
    shown = 0
    for seed in range(12):
        scene = compose(product, seed, config, [*unfit, prop], clutter)
        blue = np.asarray(scene.image).astype(int) @ [-1, 0, 1] > 100
        assert scene.prop in (None, 3)
        if scene.prop is None:
            continue
        shown += 1
        assert 20 < blue.sum() < 0.25 * scene.visible.sum()
        assert (blue & scene.visible).sum() < 0.1 * scene.visible.sum()
    assert shown >= 8
    assert compose(product, 0, config, unfit, clutter).prop is None
    assert compose(product, 0, config).prop is None


def test_overlays_cover_little_of_the_product():
    config = replace(PLAIN, overlay_probability=1.0, max_covered=0.04)
    product, changed = shape(45, 45), 0
    for seed in range(20):
        plain, scene = compose(product, seed), compose(product, seed, config)
        assert scene.box == plain.box
        differs = (np.asarray(scene.image) != np.asarray(plain.image)).any(axis=2)
        changed += differs.any()
        assert scene.covered <= 0.04
        # Pixels tinted too faintly to count may differ as well.
        assert differs[scene.visible].mean() <= 0.08
    assert changed >= 15


def test_a_photo_without_a_matte_is_shown_as_it_is():
    rng = np.random.default_rng(0)
    room = Product(rng.integers(0, 200, (60, 90, 3), dtype=np.uint8))
    scene = compose(room, 0)
    assert (scene.box, scene.visible, scene.prop) == (None, None, None)
    boxed = compose(room._replace(box=[30, 20, 60, 50]), 0)
    x0, y0, x1, y1 = boxed.box
    assert 0 <= x0 < x1 <= SIZE
    assert 0 <= y0 < y1 <= SIZE
    assert (x1 - x0) / (y1 - y0) == pytest.approx(1.0, abs=0.05)
    # A wide box keeps its sides, and the photo is continued above and below.
    wide = compose(room._replace(box=[0, 20, 90, 40]), 0)
    assert wide.box[0] == pytest.approx(0, abs=1)
    assert wide.box[2] == pytest.approx(SIZE, abs=1)


def test_a_photo_with_a_reflection_is_shown_on_white():
    product = shape(50, 30)
    product.photo[55:75, 15:65] = 215
    product.alpha[55:75, 15:65] = 255
    scene = compose(product._replace(box=[15, 25, 65, 75]), 0)
    assert scene.visible is None
    assert np.asarray(scene.image)[0, 0].tolist() == [255, 255, 255]


def test_settings_out_of_bounds_are_named():
    with pytest.raises(ValueError, match="max_covered"):
        SceneConfig(max_covered=1.5)
    with pytest.raises(ValueError, match=r"size: expected a number in \[48, inf\)"):
        SceneConfig(size=32)
