"""Photos decode with their boxes, large JPEGs at a reduced scale."""

from functools import partial

import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.catalog import photos
from tiger_fg_hf.catalog.photos import load_photo

BOX = [200, 100, 600, 400]


@pytest.fixture
def jpeg(tmp_path):
    """A JPEG with a red product in its box."""
    image = Image.new("RGB", (800, 600), "white")
    ImageDraw.Draw(image).rectangle((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), fill="red")
    image.save(tmp_path / "photo.jpg", quality=95)
    return str(tmp_path / "photo.jpg")


def test_a_photo_within_the_limit_keeps_its_box(jpeg):
    photo, box = load_photo(jpeg, BOX)
    assert photo.size == (800, 600)
    assert box == BOX


def test_a_box_follows_the_reduced_scale(jpeg, monkeypatch):
    reduced = partial(photos.load_reduced_rgb_image, max_pixels=400 * 300)
    monkeypatch.setattr(photos, "load_reduced_rgb_image", reduced)
    photo, box = load_photo(jpeg, BOX)
    assert photo.size == (400, 300)
    assert box == [side / 2 for side in BOX]
    red, green, _ = photo.crop([int(side) for side in box]).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert red > 240
    assert green < 20


def test_errors_name_the_photo(tmp_path):
    with pytest.raises(ValueError, match=r"row 3, image .*missing\.jpg"):
        load_photo(str(tmp_path / "missing.jpg"), name="row 3, image")
