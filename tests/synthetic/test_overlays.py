"""Promotions: the bounds of their levels, reproducibility, and text without missing glyphs."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image, ImageFont

from tiger_fg_hf.synthetic.overlays import (
    HEAVY_COUNT,
    HEAVY_COVERED,
    LIGHT_COUNT,
    LIGHT_COVERED,
    LIGHT_HIDDEN,
    FontSet,
    covered_share,
    default_fonts,
    draw_overlays,
    draw_title_words,
    hidden_share,
)
from tiger_fg_hf.synthetic.overlays.fonts import Font
from tiger_fg_hf.synthetic.overlays.languages import LANGUAGES
from tiger_fg_hf.synthetic.overlays.voice import draw_voice

GRAY = (120, 130, 140)
SIZES = [(64, 64), (160, 160), (224, 224), (160, 100), (90, 170)]


def draw(level, seed=0, size=(96, 96), **options):
    return draw_overlays(Image.new("RGB", size, GRAY), level, np.random.default_rng(seed), **options)


@pytest.fixture(scope="module")
def font_folder(tmp_path_factory):
    """A folder with Pillow's own font as a file."""
    folder = tmp_path_factory.mktemp("fonts")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "own.ttf").write_bytes(ImageFont.load_default(20).path.getvalue())
    (folder / "readme.txt").write_text("no font")
    return folder


def test_clean_is_the_picture_itself():
    image = Image.new("RGB", (30, 20), GRAY)
    promotion = draw_overlays(image, "clean", np.random.default_rng(0))
    assert promotion.image is image
    assert (promotion.hidden, promotion.covered, promotion.elements) == (0, 0, ())
    assert promotion.alpha.shape == (20, 30)


@pytest.mark.parametrize("size", SIZES)
def test_light_hides_little(size):
    for seed in range(12):
        promotion = draw("light", seed, size)
        assert LIGHT_COUNT[0] <= len(promotion.elements) <= LIGHT_COUNT[1]
        assert 0 < promotion.covered <= LIGHT_COVERED
        assert promotion.hidden <= LIGHT_HIDDEN


@pytest.mark.parametrize("size", SIZES)
def test_heavy_covers_a_third(size):
    spanning = {"frame", "deal bar", "banner"}
    for seed in range(12):
        promotion = draw("heavy", seed, size)
        assert HEAVY_COUNT[0] <= len(promotion.elements) <= HEAVY_COUNT[1]
        assert spanning & set(promotion.elements)
        assert HEAVY_COVERED[0] <= promotion.covered <= HEAVY_COVERED[1]


def test_light_keeps_off_the_product_and_heavy_does_not():
    box = (20, 20, 76, 76)
    inside = np.s_[20:76, 20:76]
    hidden = {
        level: [hidden_share(draw(level, seed, box=box).alpha[inside]) for seed in range(12)]
        for level in ("light", "heavy")
    }
    assert np.mean(hidden["light"]) < 0.05
    assert np.max(hidden["light"]) < 0.2
    assert np.mean(hidden["heavy"]) > 0.1
    assert np.min(hidden["heavy"]) > 0


@pytest.mark.parametrize("box", [(5, 70, 91, 95), (0, 0, 96, 96), (4, 3, 90, 30), (60, 50, 95, 95), (2, 40, 30, 70)])
def test_a_product_is_never_hidden_whole(box):
    x0, y0, x1, y1 = box
    for seed in range(12):
        promotion = draw("heavy", seed, box=box)
        assert hidden_share(promotion.alpha[y0:y1, x0:x1]) < 0.7
        assert HEAVY_COVERED[0] <= promotion.covered <= HEAVY_COVERED[1]


def test_alpha_is_where_the_picture_changes():
    for level in ("light", "heavy"):
        promotion = draw(level, 5)
        changed = (np.asarray(promotion.image) != np.array(GRAY)).any(axis=-1)
        assert not changed[promotion.alpha == 0].any()
        assert promotion.image.size == (96, 96)
        assert promotion.alpha.shape == (96, 96)


def test_overlays_depend_on_the_generator_alone():
    first, again, other = (draw("heavy", seed) for seed in (3, 3, 4))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.elements == again.elements
    assert first.image.tobytes() != other.image.tobytes()
    on_white = draw_overlays(Image.new("RGB", (96, 96), "white"), "heavy", np.random.default_rng(3))
    assert (on_white.alpha == first.alpha).all()


def test_shops_differ():
    drawn = [draw("heavy", seed) for seed in range(24)]
    assert len({promotion.elements for promotion in drawn}) > 20
    assert len({name for promotion in drawn for name in promotion.elements}) >= 15
    colors = {promotion.image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) for promotion in drawn}
    assert len(colors) > 20


def test_shares_count_alpha():
    alpha = np.array([[0, 20, 60, 200]], np.uint8)
    assert hidden_share(alpha) == 0.25
    assert covered_share(alpha) == 0.5


@pytest.mark.parametrize(
    ("level", "size", "message"),
    [
        ("extreme", (96, 96), "level: expected one of clean, light, heavy, found 'extreme'"),
        ("light", (40, 96), "image: expected at least 48 pixels a side.*found 40 x 96"),
        ("heavy", (50, 110), "sides of at most 2 to 1, found 50 x 110"),
    ],
)
def test_errors_name_the_thing(level, size, message):
    with pytest.raises(ValueError, match=message):
        draw(level, 0, size)


def test_default_font_knows_its_letters():
    font = Font()
    assert font.covers("SALE 50% $9.99, -20%!")
    for text in ("SOLDÉ", "€", "£", "正品", "Скидка", "خصم", "छूट", "セール"):
        assert not font.covers(text), text


def test_no_missing_glyph_is_drawn(monkeypatch, font_folder):
    drawn = []
    mask = Font.mask

    def recorded(self, text, *arguments, **options):
        drawn.append(text)
        assert self.covers(text), text
        return mask(self, text, *arguments, **options)

    monkeypatch.setattr(Font, "mask", recorded)
    for fonts in (None, FontSet(font_folder)):
        for seed in range(30):
            draw("heavy", seed, fonts=fonts)
    assert len(set(drawn)) > 100
    assert all(text.strip() for text in drawn)


def test_text_fits_its_room():
    font = Font()
    for look in ({}, {"bold": 0.04}, {"bold": 0.03, "slant": True, "narrow": 0.8}):
        for text in ("NEW", "Buy 2 Get 1 Free", "gypsy", "-20%"):
            scale = font.fit(text, (50, 12), **look)
            width, height = font.mask(text, scale, **look).size
            assert width <= 50
            assert height <= 12
            assert width > 40 or height > 9


def test_fonts_of_a_folder(font_folder, tmp_path):
    fonts = FontSet(font_folder)
    carried = [font.path for font in default_fonts().fonts]
    assert [font.path for font in fonts.fonts] == [*carried, font_folder / "deeper" / "own.ttf"]
    assert fonts.digest == FontSet(font_folder).digest != default_fonts().digest
    assert pickle.loads(pickle.dumps(fonts)).digest == fonts.digest
    with pytest.raises(FileNotFoundError, match=r"holds no font: expected files ending in \.ttf"):
        FontSet(tmp_path)
    (tmp_path / "broken.otf").write_bytes(b"no font")
    with pytest.raises(ValueError, match=r"broken\.otf' cannot be read"):
        FontSet(tmp_path)


def test_carried_fonts_write_every_phrase_that_needs_no_shaping():
    fonts = default_fonts().fonts
    assert len(fonts) >= 5
    for name, language in LANGUAGES.items():
        for part in fields(language):
            if part.name == "title" or name in ("ar", "hi"):
                continue
            for phrase in getattr(language, part.name):
                assert any(font.covers(phrase) for font in fonts), f"{name}: {phrase}; see the README of typefaces"


def test_overlays_are_of_many_fonts_and_languages():
    rng = np.random.default_rng(0)
    voices = [draw_voice(default_fonts(), rng) for _ in range(400)]
    assert {voice.font.path for voice in voices} == {font.path for font in default_fonts().fonts}
    slogans = {slogan for voice in voices for slogan in voice.language.slogans}
    spoken = [name for name, language in LANGUAGES.items() if slogans & set(language.slogans)]
    assert sorted(spoken) == sorted(set(LANGUAGES) - {"ar", "hi"})


def test_carried_fonts_are_laid_out_the_same_with_and_without_raqm(monkeypatch):
    drawn = draw("heavy", 3).image
    monkeypatch.setattr("tiger_fg_hf.synthetic.overlays.fonts.features.check", lambda name: False)
    plain = FontSet()
    assert plain.digest == default_fonts().digest
    assert draw("heavy", 3, fonts=plain).image.tobytes() == drawn.tobytes()


def test_title_words_are_of_many_languages():
    rng = np.random.default_rng(0)
    drawn = [draw_title_words(3, rng) for _ in range(200)]
    assert all(len(set(words)) == 3 for words in drawn)
    seen = {word for words in drawn for word in words}
    assert sum(bool(seen & set(language.title)) for language in LANGUAGES.values()) >= 12
    assert draw_title_words(0, rng) == []
