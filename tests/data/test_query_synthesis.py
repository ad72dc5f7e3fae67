"""Synthesized queries: their crops, their cut-outs, and the same query for the same generator state."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.matte import object_matte
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer

BOX = (30, 40, 130, 100)


@pytest.fixture(scope="module")
def photo():
    image = Image.new("RGB", (160, 140), "white")
    ImageDraw.Draw(image).rectangle(BOX, fill=(180, 30, 40))
    return image


def plain(**changes):
    """Return settings that change nothing but the crop."""
    nothing = {
        name: 0.0
        for name in QuerySynthesisConfig.__dataclass_fields__
        if name.endswith("_probability") and name != "cut_out_probability"
    }
    return QuerySynthesisConfig(**{**nothing, "cut_out_probability": 0.0, **changes})


def test_same_generator_state_same_query(photo):
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=64))
    one, two, other = (synthesizer(photo, box=BOX, rng=np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
    assert one.mode == "RGB"
    assert max(one.size) == 64


def test_the_photo_is_left_alone(photo):
    before = photo.tobytes()
    for preset in ("easy", "default", "hard"):
        synthesizer = QuerySynthesizer(QuerySynthesisConfig.preset(preset, size=48))
        for seed in range(10):
            assert max(synthesizer(photo, rng=np.random.default_rng(seed)).size) == 48
    assert photo.tobytes() == before


def test_close_crops_cover_the_asked_share_of_the_object():
    synthesizer = QuerySynthesizer(plain(coverage=(0.6, 1.0)))
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        x0, y0, x1, y1 = synthesizer.draw_window(BOX, rng)
        assert x0 >= BOX[0] - 1e-6
        assert y0 >= BOX[1] - 1e-6
        assert x1 <= BOX[2] + 1e-6
        assert y1 <= BOX[3] + 1e-6
        shares.append((x1 - x0) * (y1 - y0) / (100 * 60))
    assert 0.6 <= min(shares) < 0.65
    assert 0.95 < max(shares) <= 1.0 + 1e-6


def test_loose_crops_contain_the_object():
    synthesizer = QuerySynthesizer(plain(loose_probability=1.0, margin=(0.1, 0.2)))
    rng = np.random.default_rng(0)
    for _ in range(50):
        x0, y0, x1, y1 = synthesizer.draw_window(BOX, rng)
        assert BOX[0] - 20 <= x0 <= BOX[0] - 10
        assert BOX[3] + 6 <= y1 <= BOX[3] + 12
        assert y0 < BOX[1]
        assert x1 > BOX[2]


def test_without_a_cut_out_the_query_is_a_plain_crop(photo):
    query = QuerySynthesizer(plain(size=50))(photo, box=BOX, rng=np.random.default_rng(1))
    assert np.abs(np.asarray(query, dtype=int)[2:-2, 2:-2] - (180, 30, 40)).max() <= 2


def test_cut_outs_lie_on_clutter(photo):
    config = plain(size=60, cut_out_probability=1.0, loose_probability=1.0, margin=(0.3, 0.3), harmonize=(0, 0))
    blue = ClutterBank([Image.new("RGB", (80, 60), (20, 40, 200))], side=32)
    query = np.asarray(QuerySynthesizer(config, blue)(photo, rng=np.random.default_rng(0)))
    assert np.abs(query[0, 0].astype(int) - (20, 40, 200)).max() <= 1
    assert np.abs(query[query.shape[0] // 2, 30].astype(int) - (180, 30, 40)).max() <= 1
    assert not (query.min(axis=-1) > 200).any(), "white of the studio is left"


def test_object_turned_all_the_way_fits_its_window(photo):
    config = plain(size=60, cut_out_probability=1.0, loose_probability=1.0, margin=(0.5, 0.5), flip_probability=1.0)
    query = QuerySynthesizer(config)(photo, rng=np.random.default_rng(0))
    assert query.size == (60, round(60 * 60 / 100))


def test_boxes_outside_the_photo_are_clipped(photo):
    for box in ((-20, -20, 90, 90), (100, 100, 400, 400), (500, 500, 600, 600)):
        QuerySynthesizer(QuerySynthesisConfig(size=32))(photo, box=box, rng=np.random.default_rng(0))


def test_real_photos_are_varied_without_cropping(photo):
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=80))
    varied = synthesizer.augment_photo(photo, np.random.default_rng(0))
    assert varied.size == (80, 70)
    assert photo.size == (160, 140)


def test_config_errors():
    for changes, message in [
        ({"coverage": (0.0, 1.0)}, "coverage"),
        ({"coverage": (0.9, 0.5)}, "coverage: expected a range"),
        ({"blur_probability": 1.5}, "blur_probability"),
        ({"jpeg_quality": (0, 50)}, "jpeg_quality"),
        ({"size": 2}, "size"),
    ]:
        with pytest.raises(ValueError, match=message):
            QuerySynthesisConfig(**changes)
    with pytest.raises(ValueError, match="expected one of easy, default, hard"):
        QuerySynthesisConfig.preset("impossible")


def test_known_matte_gives_the_same_query(photo):
    config = QuerySynthesisConfig(size=64, cut_out_probability=0.7)
    matte = object_matte(photo)
    assert matte is not None
    for seed in range(6):
        found, known = (
            QuerySynthesizer(config)(photo, rng=np.random.default_rng(seed), **options)
            for options in ({}, {"matte": matte})
        )
        assert found.tobytes() == known.tobytes()
    card, plain = (
        QuerySynthesizer(QuerySynthesisConfig(size=64, cut_out_probability=share))(
            photo, rng=np.random.default_rng(0), **options
        )
        for share, options in ((1.0, {"matte": None}), (0.0, {}))
    )
    assert card.tobytes() == plain.tobytes()
