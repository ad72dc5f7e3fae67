"""Further listings of a product: its photo, its box and its levels."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.synthetic.overlays import LEVELS

SIZE = 64
CONFIG = ListingConfig(size=SIZE)
TEXT = {
    "title": "acme ribbed mug with handle 350 ml teal",
    "category": "mug",
    "attributes": {"color": "teal", "material": "clay", "terms": "cup, tea mug, coffee mug, gift, kitchen"},
}


def photo(background="white") -> Image.Image:
    image = Image.new("RGB", (80, 60), background)
    ImageDraw.Draw(image).rectangle((20, 15, 49, 44), fill=(40, 60, 160))
    return image


def make(level="clean", seed=0, image=None, box=(20, 15, 50, 45), text=TEXT, config=CONFIG, **options):
    seller = ListingSynthesizer(config, **options)
    return seller(image or photo(), text, level=level, rng=np.random.default_rng(seed), box=box)


def test_levels_differ_only_in_overlays_and_promotional_words():
    for seed in range(10):
        clean, light, heavy = (make(level, seed) for level in LEVELS)
        for promoted in (light, heavy):
            untouched = promoted.alpha == 0
            assert untouched.any()
            assert (np.asarray(promoted.image)[untouched] == np.asarray(clean.image)[untouched]).all()
            assert clean.text["title"] in promoted.text["title"]
            assert clean.text["title"] != promoted.text["title"]
            for name in ("category", "attributes"):
                assert promoted.text[name] == clean.text[name]
        assert not clean.alpha.any()
        assert heavy.alpha.astype(bool).mean() >= 0.25
        assert len(heavy.text["title"]) > len(clean.text["title"]) + 3


def test_listings_of_a_product_differ():
    listings = [make(seed=seed) for seed in range(8)]
    assert len({listing.image.tobytes() for listing in listings}) == 8
    assert len({listing.text["title"] for listing in listings}) == 8
    assert all(listing.image.size == (SIZE, SIZE) and listing.image.mode == "RGB" for listing in listings)


def test_a_known_matte_changes_nothing():
    from tiger_fg_hf.data.matte import object_matte

    seller, box = ListingSynthesizer(CONFIG), (20, 15, 50, 45)
    matte = object_matte(photo(), box)
    for seed in range(4):
        known = seller(photo(), TEXT, level="light", rng=np.random.default_rng(seed), box=box, matte=matte)
        assert known.image.tobytes() == make("light", seed).image.tobytes()


@pytest.mark.parametrize("cut_out", [0.0, 1.0])
@pytest.mark.parametrize("background", ["white", (90, 140, 80)])
@pytest.mark.parametrize("with_box", [False, True])
def test_the_product_stays_whole(cut_out, background, with_box):
    config = ListingConfig(
        size=SIZE, cut_out_probability=cut_out, relight_probability=0, jpeg_probability=0, rotation_probability=0,
        clutter_weight=0, shadow_probability=0, crop=(0.8, 1.0),
    )  # fmt: skip
    seller, box = ListingSynthesizer(config), (20, 15, 50, 45) if with_box else None
    for seed in range(10):
        image, place = seller.photograph(photo(background), box, "find", np.random.default_rng(seed))
        blue = np.abs(np.asarray(image).astype(int) - (40, 60, 160)).max(axis=-1) < 30
        rows, columns = np.flatnonzero(blue.any(axis=1)), np.flatnonzero(blue.any(axis=0))
        height, width = len(rows), len(columns)
        assert height > 15
        assert abs(width - height) <= 2
        if place is not None:
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(np.array(place) - found).max() <= 2.5


def test_photos_without_a_square_window_are_padded():
    long = Image.new("RGB", (200, 40), (200, 30, 30))
    for box in (None, (10, 5, 190, 35)):
        image, place = ListingSynthesizer(CONFIG).photograph(long, box, None, np.random.default_rng(1))
        assert image.size == (SIZE, SIZE)
        assert place is None or (min(place) >= 0 and max(place) <= SIZE)


def test_promotional_words_may_be_left_out():
    plain = make("heavy", config=ListingConfig(size=SIZE, promotional_words=False))
    assert plain.text == make("clean").text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 20}, r"size: expected a number in \[48, inf\), found 20"),
        ({"flip_probability": 2}, "flip_probability: expected a probability"),
        ({"area": (0.5, 0.2)}, "area: expected a range"),
        ({"crop": (0.0, 0.5)}, r"crop: expected a range within \(0, 1\]"),
        ({"keep_words": (0.5, 1.5)}, r"keep_words: expected a range within \[0, 1\]"),
        (dict.fromkeys(["white_weight", "plain_weight", "gradient_weight", "clutter_weight"], 0), "not all 0"),
        ({"rotation": 90}, r"rotation: expected a number in \[0, 45\], found 90"),
        ({"move_words": -1}, r"move_words: expected a number in \[0, inf\), found -1"),
        ({"jpeg_quality": (0, 50)}, "jpeg_quality: expected a range"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ListingConfig(**settings)


def test_unknown_levels():
    with pytest.raises(ValueError, match="level: expected one of clean, light, heavy, found 'loud'"):
        make("loud")
    with pytest.raises(ValueError, match="title_level: expected one of clean, light, heavy, found 'loud'"):
        ListingSynthesizer(CONFIG)(photo(), TEXT, level="clean", title_level="loud", rng=np.random.default_rng(0))
