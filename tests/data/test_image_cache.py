"""Cached photos and mattes equal those computed from the photos at the cached size."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.data.image_cache import ImageCache
from tiger_fg_hf.data.matte import object_matte


def photo(size, background="white") -> Image.Image:
    image = Image.new("RGB", size, background)
    ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=(120, 30, 60))
    return image


def test_photos_and_mattes_are_kept():
    listings = [(photo((60, 40)), None), (photo((50, 70), "teal"), None), (photo((80, 64)), [20.0, 16, 41, 33])]
    cache = ImageCache(listings, 80, total=3)
    for row, (image, box) in enumerate(listings):
        pixels, kept_box = cache.photo(row)
        assert kept_box == box
        assert np.array_equal(pixels, np.asarray(image))
        matte = object_matte(image, box)
        assert (matte is None) == (row == 1)
        assert cache.matte(row) is None if matte is None else np.array_equal(cache.matte(row), matte)


def test_large_photos_are_scaled_down():
    cache = ImageCache([(photo((200, 100)), [50, 25, 101, 51])], 100, total=1)
    pixels, box = cache.photo(0)
    assert pixels.shape == (50, 100, 3)
    assert box == pytest.approx([25, 12.5, 50.5, 25.5])
    assert np.array_equal(cache.matte(0), object_matte(Image.fromarray(pixels), [25, 12.5, 50.5, 25.5]))


def test_photos_that_memory_does_not_hold_are_refused(monkeypatch):
    small = [(photo((8, 8), "teal"), None)] * 256
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    ImageCache(small, 80, total=5_000)  # 192 bytes each
    with pytest.raises(MemoryError, match="1,000,000 decoded photos take about"):
        ImageCache(small, 80, total=1_000_000)


def test_no_photos():
    ImageCache([], 80, total=0)
