"""Stickers: they keep off the product, and paint with the shapes of the other overlays."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.synthetic.overlays import draw_stickers
from tiger_fg_hf.synthetic.overlays.canvas import Canvas


def test_the_product_is_kept_clear():
    gray = Image.new("RGB", (160, 120), (128, 128, 128))
    box = (30, 20, 150, 110)
    touched = 0
    for seed in range(40):
        drawn = draw_stickers(gray, np.random.default_rng(seed), count=4, box=box)
        # Watermarks are translucent white; opaque stickers are far from the gray.
        changed = np.abs(np.asarray(drawn).astype(int) - 128).max(axis=-1) > 62
        x0, y0, x1, y1 = box
        assert changed[y0:y1, x0:x1].sum() <= 0.115 * (x1 - x0) * (y1 - y0)
        touched += bool(changed.any())
    assert touched >= 30


def test_no_stickers_leave_the_picture():
    image = Image.new("RGB", (64, 64), (10, 20, 30))
    assert draw_stickers(image, np.random.default_rng(0), count=0).tobytes() == image.tobytes()


@pytest.mark.parametrize("arguments", [{"count": 6}, {"count": -1}, {"max_hidden": 1.5}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        draw_stickers(Image.new("RGB", (64, 64)), np.random.default_rng(0), **arguments)


def test_fill_paints_what_pillow_draws():
    canvas, direct = Canvas(40, 30), Image.new("RGBA", (40, 30))
    draw = ImageDraw.Draw(direct)
    draw.ellipse((3, 4, 23, 24), fill="red")
    canvas.fill(canvas.disc((13, 14), 10), (255, 0, 0))
    draw.rectangle((0, 0, 39, 29), outline="blue", width=2)
    canvas.fill(canvas.edge(2), (0, 0, 255))
    draw.ellipse((5, 6, 21, 22), outline="white", width=3)
    canvas.fill(canvas.ring((13, 14), 8, 3), (255, 255, 255))
    assert canvas.image.tobytes() == direct.tobytes()
