"""JPEGs whose scans are cut, missing or too many."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf.models.image_loading_tiger_fg import load_reduced_rgb_image, load_rgb_image

OPTIONS = [{}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_rows": 1}, {"quality": 100}]
END = b"\xff\xd9"


def jpeg(width=200, height=152, mode="RGB", **options):
    coarse = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(
        buffer, "JPEG", **options
    )
    return buffer.getvalue()


def decode(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("options", [*OPTIONS, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}])
def test_whole_pictures_keep_their_pixels(options):
    data = jpeg(**options)
    for padded in (data, data + b"trailing bytes", data[:-2] + b"\xff\xff" + END):
        assert np.array_equal(np.asarray(load_rgb_image(padded)), decode(data))


@pytest.mark.parametrize("options", OPTIONS)
def test_a_picture_cut_short_and_closed_is_truncated(options):
    data = jpeg(**options)
    start = data.index(b"\xff\xda") + 20
    for share in np.linspace(0, 0.98, 20):
        cut = data[: start + int(share * (len(data) - start))].rstrip(b"\xff") + END
        decode(cut)  # Pillow takes it
        with pytest.raises(ValueError, match=r"cannot be read: .*truncated"):
            load_rgb_image(cut)
        with pytest.raises(ValueError, match=r"cannot be read: .*truncated"):
            load_reduced_rgb_image(cut, max_pixels=20_000)


def test_a_progressive_picture_without_its_last_scans_is_truncated():
    data = jpeg(progressive=True)
    starts = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        with pytest.raises(ValueError, match="truncated: it is a JPEG whose last scans are missing"):
            load_rgb_image(data[:start] + END)


def test_thousands_of_scans_are_refused_at_once():
    data = jpeg(64, 64, progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    started = time.perf_counter()
    with pytest.raises(ValueError, match="more than 100 scans"):
        load_rgb_image(data[:-2] + scan * 3_000 + END)
    assert time.perf_counter() - started < 1


def test_a_marker_across_two_reads():
    for comment in range(65_400, 65_536 - 2, 7):
        data = jpeg(64, 64, comment=b"x" * comment)
        assert np.array_equal(np.asarray(load_rgb_image(data)), decode(data))
