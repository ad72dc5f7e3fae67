import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tiger_fg_hf.data.matte import object_matte, split_shadow


def studio(size=(128, 96), color="white"):
    image = Image.new("RGB", size, color)
    return image, ImageDraw.Draw(image)


def test_matte_follows_a_shape():
    image, draw = studio()
    draw.ellipse((30, 20, 90, 70), fill=(40, 90, 160))
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((30, 20, 90, 70), fill=255)
    matte = object_matte(image)
    assert matte.shape == (96, 128)
    assert matte.dtype == np.uint8
    truth = np.asarray(mask) > 0
    assert np.mean((matte > 127) != truth) < 0.02
    assert matte[45, 60] == 255
    assert matte[0, 0] == 0


def test_large_photos_get_a_matte_of_their_size():
    image, draw = studio((700, 500))
    draw.rectangle((200, 100, 500, 400), fill=(160, 40, 40))
    matte = object_matte(image)
    assert matte.shape == (500, 700)
    assert np.mean(matte > 127) == pytest.approx(301 * 301 / (700 * 500), rel=0.03)


def test_winding_background_is_followed():
    image, draw = studio((100, 100))
    for step in range(4):  # a comb of walls, open at alternating ends
        y = 20 + 16 * step
        draw.rectangle((10, y, 80, y + 5) if step % 2 else (20, y, 90, y + 5), fill=(20, 60, 20))
    draw.rectangle((10, 20, 14, 73), fill=(20, 60, 20))
    matte = object_matte(image)
    assert matte[30, 50] == 0
    assert matte[22, 50] > 200


def test_wide_enclosed_gap_is_background_and_small_highlight_is_object():
    image, draw = studio((120, 120))
    draw.ellipse((10, 10, 110, 110), fill=(150, 120, 30))
    draw.ellipse((35, 35, 85, 85), fill="white")
    draw.rectangle((20, 58, 24, 62), fill="white")
    matte = object_matte(image)
    assert matte[60, 60] == 0
    assert matte[60, 22] > 200


def test_soft_shadow_and_specks_are_background():
    image, draw = studio((120, 120))
    for row in range(16):
        draw.rectangle((40, 80 + row, 80, 80 + row), fill=(222 + 2 * row,) * 3)
    draw.rectangle((30, 30, 90, 79), fill=(120, 30, 30))
    draw.point((10, 10), fill=(225, 225, 225))
    matte = object_matte(image)
    assert matte[84, 60] == 0
    assert matte[10, 10] == 0
    assert matte[60, 60] == 255


def test_outside_the_box_is_background():
    image, draw = studio()
    draw.rectangle((10, 10, 40, 80), fill=(30, 30, 90))
    draw.rectangle((80, 10, 110, 80), fill=(30, 30, 90))
    matte = object_matte(image, box=(5, 5, 60, 90))
    assert matte[40, 25] == 255
    assert matte[40, 95] == 0


@pytest.mark.parametrize("color", ["white", (90, 120, 60), (236, 220, 200)])
def test_nothing_to_cut_out(color):
    image, _ = studio(color=color)
    assert object_matte(image) is None


def test_leaking_pale_product_has_no_matte():
    image, draw = studio((120, 120))
    draw.rectangle((20, 20, 100, 100), fill=(232, 232, 232))
    for y in range(20, 100, 2):  # fades into the backdrop from right to left
        draw.line((20, y, 55, y + 1), fill=(244, 244, 244))
    draw.rectangle((60, 60, 64, 64), fill=(30, 30, 30))
    assert object_matte(image) is None


@pytest.mark.skipif("TIGER_FG_DATA" not in os.environ, reason="TIGER_FG_DATA does not name the folder of real data")
def test_most_studio_photos_have_a_matte():
    import datasets

    path = str(Path(os.environ["TIGER_FG_DATA"]) / "abo/validation.parquet")
    photos = datasets.load_dataset("parquet", data_files=path, split="train")
    photos = [row for row in photos.select(range(100)) if row["box"]]
    found = [object_matte(row["image"], row["box"]) is not None for row in photos]
    assert np.mean(found) > 0.8


def test_mixed_rim_is_cut_off_and_thin_lines_stay():
    image = Image.new("RGB", (120, 120), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 79, 79), fill=(150, 150, 150))
    draw.rectangle((22, 22, 77, 77), fill=(40, 40, 40))
    draw.rectangle((90, 10, 92, 110), fill=(150, 150, 150))
    draw.rectangle((91, 10, 91, 110), fill=(40, 40, 40))
    alpha = object_matte(image)
    assert alpha[30:70, 24:76].min() == 255
    assert alpha[30:70, 20].max() < 80
    assert alpha[30:70, 21].max() < 220
    assert alpha[30:90, 91].min() > 200


def test_a_soft_shadow_is_split_off_and_pale_material_is_not():
    def photo(below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.repeat(below[..., None], 3, axis=2)
        pixels[5:55, 10:70] = (180, 40, 40)
        return pixels, np.where(pixels.min(axis=2) < 235, 255, 0).astype(np.uint8)

    white = Image.new("L", (80, 80), 255)
    ImageDraw.Draw(white).ellipse((15, 50, 65, 60), fill=140)
    pixels, matte = photo(np.asarray(white.filter(ImageFilter.GaussianBlur(4))))
    alpha, shade = split_shadow(pixels, matte)
    assert (alpha[5:54, 10:70] == 255).all()
    assert (matte[58:60, 30:50] == 255).all()
    assert (alpha[58:60, 30:50] == 0).all()
    assert (shade[58:60, 30:50] == 255 - pixels[58:60, 30:50, 0]).all()

    # A white sole ends in an edge.
    sole = np.full((80, 80), 255, np.uint8)
    sole[55:59, 10:70] = 222
    pixels, matte = photo(sole)
    alpha, shade = split_shadow(pixels, matte)
    assert (alpha == matte).all()
    assert not shade.any()
