"""Backgrounds drawn by code."""

import numpy as np
from PIL import Image

from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.synthetic.backdrops import Backdrops, DrawnClutter


def test_backdrops():
    clutter = ClutterBank([Image.new("RGB", (20, 20), (9, 99, 199))], side=16)
    samples = {
        kind: Backdrops(tuple(float(kind == index) for index in range(4)), clutter).sample(
            np.random.default_rng(0), (12, 10)
        )
        for kind in range(4)
    }
    assert all(sample.size == (12, 10) for sample in samples.values())
    assert samples[0].getextrema() == ((255, 255),) * 3
    assert all(low == high for low, high in samples[1].getextrema())
    assert any(low < high for low, high in samples[2].getextrema())
    assert samples[3].getpixel((5, 5)) == (9, 99, 199)
    assert Backdrops((0, 0, 0, 1)).sample(np.random.default_rng(0), (12, 10)).size == (12, 10)


def test_drawn_clutter_has_texture():
    for seed in range(8):
        background = DrawnClutter().sample(np.random.default_rng(seed), (64, 48))
        assert background.size == (64, 48)
        assert np.asarray(background, dtype=float).std() > 1
