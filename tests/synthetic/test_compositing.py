"""Light and noise of composed pictures."""

import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf.synthetic.compositing import color_matrix, shade


def test_color_matrix():
    image = Image.fromarray(np.array([[[200, 100, 50], [10, 128, 255]]], np.uint8))
    assert image.convert("RGB", color_matrix()).tobytes() == image.tobytes()
    gray = np.asarray(image.convert("RGB", color_matrix(saturation=0.0)), int)
    assert np.ptp(gray, axis=-1).max() == 0
    assert gray[0, :, 0] == pytest.approx(np.asarray(image.convert("L"))[0], abs=1)
    for option, expected in {
        "brightness": (100, 50, 25),
        "contrast": (164, 114, 89),
        "temperature": (255, 100, 25),
    }.items():
        changed = image.convert("RGB", color_matrix(**{option: 0.5}))
        assert changed.getpixel((0, 0)) == pytest.approx(expected, abs=1)


def test_noise_has_the_given_deviation():
    flat = Image.new("RGB", (200, 150), (128, 128, 128))
    noise = np.asarray(shade(flat, 0.0, 6.0, np.random.default_rng(0)), float) - 127.5
    assert noise.std() == pytest.approx(6, abs=0.1)
    assert noise.mean() == pytest.approx(0, abs=0.1)


def test_light_falls_off():
    flat = Image.new("L", (60, 40), 200).convert("RGB")
    shaded = np.asarray(shade(flat, 0.5, 0.0, np.random.default_rng(1)), float)
    assert (shaded.min(), shaded.max()) == pytest.approx((100, 200), abs=3)
