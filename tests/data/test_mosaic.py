"""Mosaics: bounds and boxes hold, and a mosaic depends on the generator alone."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig, Product

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 0, 250)]
PLAIN = {"relight_probability": 0.0, "shadow_probability": 0.0, "flip_probability": 0.0}
GRAY = ClutterBank([Image.new("RGB", (64, 64), (128, 128, 128))], side=64)


def cut_out(color, size=(40, 30), shape="rectangle") -> Product:
    """Return a shape of one color at (20, 10) on a white photo, with its matte."""
    box = (20, 10, 20 + size[0], 10 + size[1])
    photo, alpha = Image.new("RGB", (90, 80), "white"), Image.new("L", (90, 80))
    for image, fill in ((photo, color), (alpha, 255)):
        getattr(ImageDraw.Draw(image), shape)((box[0], box[1], box[2] - 1, box[3] - 1), fill=fill)
    return Product(np.asarray(photo), np.asarray(alpha), box)


def products(count=3, **options) -> list[Product]:
    return [cut_out(color, (20 + 15 * i, 50 - 10 * i), **options) for i, color in enumerate(COLORS[:count])]


def found_box(image: Image.Image, color) -> list[int]:
    rows, columns = np.nonzero((np.abs(np.asarray(image, int) - color) < 60).all(axis=-1))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def covered_shares(boxes: list[list[float]]) -> list[float]:
    """Return the share of each box that the others cover together, counted pixel by pixel."""
    masks = []
    for x0, y0, x1, y1 in np.array(boxes, int):
        mask = np.zeros((128, 128), bool)
        mask[y0:y1, x0:x1] = True
        masks.append(mask)
    others = [np.any([m for m in masks if m is not mask] or [mask & False], axis=0) for mask in masks]
    return [(mask & other).sum() / mask.sum() for mask, other in zip(masks, others, strict=True)]


def area_shares(boxes: list[list[float]]) -> np.ndarray:
    x0, y0, x1, y1 = np.array(boxes).T
    return (x1 - x0) * (y1 - y0) / 128**2


@pytest.mark.parametrize("rotation_probability", [0.0, 1.0])
@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_boxes_lie_tight_on_the_products(shape, rotation_probability):
    config = MosaicConfig(max_overlap=0.0, rotation_probability=rotation_probability, rotation=40, **PLAIN)
    for seed in range(12):
        mosaic = MosaicComposer(config, GRAY)(products(shape=shape), np.random.default_rng(seed))
        assert mosaic.image.size == (128, 128)
        for box, color in zip(mosaic.boxes, COLORS, strict=False):
            assert found_box(mosaic.image, color) == pytest.approx(box, abs=2)


def test_nothing_of_a_product_is_outside_its_box():
    mosaic = MosaicComposer(MosaicConfig(rotation_probability=1.0, **PLAIN), GRAY)(
        products(), np.random.default_rng(5)
    )
    pixels = np.asarray(mosaic.image).copy()
    for x0, y0, x1, y1 in np.array(mosaic.boxes, int):
        pixels[y0:y1, x0:x1] = 128
    assert (pixels == 128).all()


@pytest.mark.parametrize("max_overlap", [0.0, 0.15, 0.4])
def test_overlap_and_area_stay_within_bounds(max_overlap):
    config = MosaicConfig(max_overlap=max_overlap)
    composer = MosaicComposer(config, GRAY)
    shares, covered = [], []
    for seed in range(60):
        boxes = composer(products(2 + seed % 3), np.random.default_rng(seed)).boxes
        assert np.min(boxes) >= 0
        assert np.max(boxes) <= 128
        shares += area_shares(boxes).tolist()
        covered += covered_shares(boxes)
    assert max(covered) <= max_overlap
    # Rounding to whole pixels changes the area a little.
    assert 0.045 < min(shares) < 0.07
    assert 0.3 < max(shares) < 0.47
    if max_overlap:
        assert max(covered) > max_overlap / 3


def test_products_that_do_not_fit_shrink():
    config = MosaicConfig(area=(0.4, 0.45), max_overlap=0.0)
    for seed in range(10):
        boxes = MosaicComposer(config, GRAY)(products(4), np.random.default_rng(seed)).boxes
        assert max(covered_shares(boxes)) == 0
        assert area_shares(boxes).min() > 0.03


def test_long_products_fit_the_canvas():
    long = cut_out(COLORS[0], (69, 2))
    config = MosaicConfig(area=(0.3, 0.45), rotation_probability=0.0)
    (box,) = MosaicComposer(config, GRAY)([long], np.random.default_rng(0)).boxes
    assert box[2] - box[0] == 128
    assert 2 <= box[3] - box[1] <= 5


def test_places_are_varied():
    composer = MosaicComposer(MosaicConfig(area=(0.05, 0.2)), GRAY)
    boxes = np.array([composer(products(), np.random.default_rng(seed)).boxes for seed in range(60)])
    corners = boxes[..., :2] / (128 - (boxes[..., 2:] - boxes[..., :2]))  # 0 .. 1 is all of the canvas
    assert (corners.std(axis=0) > 0.25).all()
    assert (np.abs(corners.mean(axis=0) - 0.5) < 0.12).all()


def test_any_product_may_lie_on_top():
    config = MosaicConfig(max_overlap=0.5, rotation_probability=0.0, **PLAIN)
    on_top = set()
    for seed in range(30):
        mosaic = MosaicComposer(config, GRAY)(products(2), np.random.default_rng(seed))
        one, other = np.array(mosaic.boxes, int)
        (x0, y0), (x1, y1) = np.maximum(one, other)[:2].tolist(), np.minimum(one, other)[2:].tolist()
        if x1 - x0 > 4 and y1 - y0 > 4:
            on_top.add(mosaic.image.getpixel(((x0 + x1) // 2, (y0 + y1) // 2)))
    assert on_top == set(COLORS[:2])


def test_flips_are_reported():
    photo = np.zeros((30, 30, 3), np.uint8)
    photo[:, :15, 0] = photo[:, 15:, 2] = 255
    product = Product(photo, np.full((30, 30), 255, np.uint8))
    config = MosaicConfig(**{**PLAIN, "flip_probability": 0.5})
    seen = set()
    for seed in range(16):
        mosaic = MosaicComposer(config, GRAY)([product], np.random.default_rng(seed))
        x0, y0, _, y1 = map(int, mosaic.boxes[0])
        red, _, blue = mosaic.image.getpixel((x0 + 4, (y0 + y1) // 2))
        assert mosaic.flipped == [blue > red]
        seen.update(mosaic.flipped)
    assert seen == {True, False}


def test_without_a_matte_the_box_or_the_photo_is_a_card():
    photo = np.full((60, 40, 3), 255, np.uint8)
    photo[10:30, 5:35] = COLORS[0]
    config = MosaicConfig(max_overlap=0.0, rotation_probability=1.0, **PLAIN)
    empty = np.zeros((60, 40), np.uint8)
    for alpha in (None, empty):
        mosaic = MosaicComposer(config, GRAY)([Product(photo, alpha, (5, 10, 35, 30))], np.random.default_rng(1))
        x0, y0, x1, y1 = map(int, mosaic.boxes[0])
        assert (np.asarray(mosaic.image)[y0:y1, x0:x1] == COLORS[0]).all()
        assert (x1 - x0) / (y1 - y0) == pytest.approx(1.5, abs=0.1)
    x0, y0, x1, y1 = MosaicComposer(config, GRAY)([Product(photo)], np.random.default_rng(1)).boxes[0]
    assert (x1 - x0) / (y1 - y0) == pytest.approx(2 / 3, abs=0.05)


def test_overlays_leave_the_products_visible():
    plain, composer = (
        MosaicComposer(MosaicConfig(overlay_probability=share, overlay_level=4), GRAY) for share in (0.0, 1.0)
    )
    changes = 0
    for seed in range(8):
        before, after = (one(products(), np.random.default_rng(seed)) for one in (plain, composer))
        assert before.boxes == after.boxes
        changed = (np.asarray(before.image) != np.asarray(after.image)).any(axis=-1)
        changes += changed.any()
        for x0, y0, x1, y1 in np.array(after.boxes, int):
            assert changed[y0:y1, x0:x1].mean() <= 0.15
    assert changes > 2


@pytest.mark.parametrize("clutter", [None, GRAY])
def test_same_generator_state_same_mosaic(clutter):
    state = np.random.get_state()[1].copy()
    composer = MosaicComposer(MosaicConfig(overlay_probability=0.5), clutter)
    first, again = (composer(products(), np.random.default_rng(4)) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.boxes, first.flipped) == (again.boxes, again.flipped)
    assert composer(products(), np.random.default_rng(5)).boxes != first.boxes
    assert (np.random.get_state()[1] == state).all()


def test_errors():
    with pytest.raises(ValueError, match="products: expected at least one"):
        MosaicComposer()([], np.random.default_rng(0))
    for field, value in {
        "size": 8,
        "area": (0.0, 0.4),
        "max_overlap": 1.0,
        "rotation": 90.0,
        "flip_probability": 1.5,
        "brightness": (1.2, 1.0),
        "overlay_level": 6,
    }.items():
        with pytest.raises(ValueError, match=field):
            MosaicConfig(**{field: value})
