"""Other listings of a product, and pairs of them."""

import hashlib
import io

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image, ImageDraw

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.listing_text import advertise, rewrite
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.data.tgq_former_pairs import TGQFormerPairDataset
from tiger_fg_hf.synthetic.backdrops import Backdrops
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.synthetic.overlays import LEVELS
from tiger_fg_hf.training.sampler import EpochBatchSampler

SIZE = 64
CONFIG = ListingConfig(size=SIZE)
TEXT = {
    "title": "acme ribbed mug with handle 350 ml teal",
    "category": "mug",
    "attributes": {"color": "teal", "material": "clay", "terms": "cup, tea mug, coffee mug, gift, kitchen"},
}
KEEP = {"keep_words": (0.4, 0.9), "move_words": 2.0, "keep_attributes": (0.3, 0.9), "drop_category_probability": 0.1}


@pytest.fixture(scope="module")
def catalog():
    return load_catalog(drawn_catalog(num_products=6, layout="mixed", size=64, with_queries=False))


def photo(background="white") -> Image.Image:
    image = Image.new("RGB", (80, 60), background)
    ImageDraw.Draw(image).rectangle((20, 15, 49, 44), fill=(40, 60, 160))
    return image


def make(level="clean", seed=0, image=None, box=(20, 15, 50, 45), text=TEXT, config=CONFIG, **options):
    seller = ListingSynthesizer(config, **options)
    return seller(image or photo(), text, level=level, rng=np.random.default_rng(seed), box=box)


def digest(pair: dict) -> str:
    text = f"{[pair[name] for name in ('item_id', 'category', 'row', 'texts', 'levels')]}"
    return hashlib.sha256(text.encode() + b"".join(image.tobytes() for image in pair["images"])).hexdigest()


def digests(pairs: list[dict]) -> list[str]:
    return [digest(pair) for pair in pairs]


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


def test_titles_lose_words_but_never_all():
    source = TEXT["title"].split()
    kept = []
    for seed in range(50):
        words = rewrite(TEXT, np.random.default_rng(seed), **KEEP)["title"].split()
        assert set(words) <= set(source)
        assert 3 <= len(words) <= 7
        kept.append(words)
    assert len({tuple(words) for words in kept}) > 40
    assert any(
        [source.index(word) for word in words] != sorted(source.index(word) for word in words) for words in kept
    )
    for title in ("mug", "陶瓷杯"):
        for seed in range(5):
            none = KEEP | {"keep_words": (0.0, 0.0)}
            assert rewrite(TEXT | {"title": title}, np.random.default_rng(seed), **none)["title"]


def test_chinese_titles_lose_pieces():
    titles = [
        rewrite(TEXT | {"title": "陶瓷马克杯大容量"}, np.random.default_rng(seed), **KEEP)["title"]
        for seed in range(9)
    ]
    assert all(set(title) - {" "} < set("陶瓷马克杯大容量") for title in titles)
    assert len(set(titles)) > 4


def test_attributes_and_category_are_dropped_at_times():
    records = [rewrite(TEXT, np.random.default_rng(seed), **KEEP) for seed in range(60)]
    assert {record["category"] for record in records} == {"mug", None}
    assert {name for record in records for name in record["attributes"] or {}} == set(TEXT["attributes"])
    assert {len(record["attributes"] or {}) for record in records} == {1, 2, 3}
    terms = [
        record["attributes"]["terms"].split(", ") for record in records if "terms" in (record["attributes"] or {})
    ]
    assert all(set(parts) < set(TEXT["attributes"]["terms"].split(", ")) for parts in terms)


def test_promotional_words_by_level():
    for seed in range(10):
        words = {level: advertise("mug", level, np.random.default_rng(seed)) for level in LEVELS}
        assert words["clean"] == "mug"
        assert words["light"] != "mug"
        assert "mug" in words["light"]
        assert "mug" in words["heavy"]
    plain = make("heavy", config=ListingConfig(size=SIZE, promotional_words=False))
    assert plain.text == make("clean").text


def test_pairs_have_all_parts(catalog):
    pair = TGQFormerPairDataset(catalog, ListingSynthesizer(CONFIG))[2]
    assert set(pair) == {"item_id", "category", "row", "images", "texts", "levels"}
    assert (pair["item_id"], pair["category"], pair["row"]) == (catalog[2]["item_id"], catalog[2]["category"], 2)
    first, second = pair["images"]
    assert first.size == second.size == (SIZE, SIZE)
    assert first.tobytes() != second.tobytes()
    assert all(text["title"] and set(text) == {"title", "category", "attributes"} for text in pair["texts"])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_data_do_not_depend_on_workers_order_or_history(catalog):
    dataset = TGQFormerPairDataset(catalog, ListingSynthesizer(CONFIG), seed=3)
    keys = [key for batch in EpochBatchSampler(len(catalog), 2, 6, seed=1) for key in batch]
    expected = [digest(dataset[key]) for key in keys]
    assert len(set(expected)) == 12
    assert [digest(dataset[key]) for key in reversed(keys)] == expected[::-1]
    loader = torch.utils.data.DataLoader(dataset, sampler=keys, batch_size=3, num_workers=2, collate_fn=digests)
    assert [one for batch in loader for one in batch] == expected
    assert digest(dataset[keys[0] + ((0, 1),)]) == expected[0]
    assert digest(dataset[-1]) == digest(dataset[0, 5])
    again = TGQFormerPairDataset(catalog, ListingSynthesizer(CONFIG), seed=3, cache_decoded=True)
    assert [digest(again[key]) for key in keys] == expected
    other = TGQFormerPairDataset(catalog, ListingSynthesizer(CONFIG), seed=4)
    assert digest(other[keys[0]]) != expected[0]


def test_levels_are_drawn_by_their_shares(catalog):
    def levels(shares):
        config = ListingConfig(size=48)
        dataset = TGQFormerPairDataset(catalog, ListingSynthesizer(config), level_shares=shares)
        return [level for epoch in range(6) for row in range(6) for level in dataset[epoch, row]["levels"]]

    assert set(levels(None)) == set(LEVELS)
    assert set(levels({"clean": 1})) == {"clean"}
    assert set(levels({"clean": 2, "heavy": 2.0})) == {"clean", "heavy"}


def test_wrong_titles_are_of_other_categories_and_change_nothing_else():
    # As many products as to have several of a category; titles are kept whole, to be told apart.
    catalog = load_catalog(drawn_catalog(num_products=30, layout="clean", size=48, with_queries=False))
    config = ListingConfig(size=48, keep_words=(1.0, 1.0), promotional_words=False, move_words=0.0)
    owners = {frozenset(row["title"].split()): row["category"] for row in catalog}
    own, some, every = (
        TGQFormerPairDataset(catalog, ListingSynthesizer(config), wrong_titles=share) for share in (0.0, 0.3, 1.0)
    )
    wrong = 0
    for row in range(30):
        pairs = own[row], some[row], every[row]
        assert len({pair["item_id"] for pair in pairs}) == len({pair["levels"] for pair in pairs}) == 1
        for side in (0, 1):
            titles = [pair["texts"][side]["title"] for pair in pairs]
            assert frozenset(titles[0].split()) == frozenset(catalog[row]["title"].split())
            assert owners[frozenset(titles[2].split())] != catalog[row]["category"]
            wrong += titles[1] != titles[0]
        assert digest(some[row]) == digest(some[row])
        assert pairs[0]["images"][0].tobytes() == pairs[2]["images"][0].tobytes()
    assert 8 < wrong < 28  # 18 of 60 on average


def test_a_wrong_title_needs_another_product(catalog):
    alone = catalog.select([2])
    pair = TGQFormerPairDataset(alone, ListingSynthesizer(CONFIG), wrong_titles=1.0)[0]
    assert digest(pair) == digest(TGQFormerPairDataset(alone, ListingSynthesizer(CONFIG))[0])


def test_promotional_words_of_a_listing_alone_do_not_tell_its_overlays():
    """A dual encoder is trained on such: it is to match pictures with products."""
    catalog = load_catalog(drawn_catalog(num_products=40, layout="clean", size=48, with_queries=False))
    config = ListingConfig(size=48, keep_words=(1.0, 1.0), move_words=0.0)
    added = {}
    for first_alone in (False, True):
        dataset = TGQFormerPairDataset(catalog, ListingSynthesizer(config), first_alone=first_alone)
        for row in range(40):
            pair = dataset[row]
            assert len(pair["images"]) == len(pair["texts"]) == len(pair["levels"]) == (1 if first_alone else 2)
            words = len(pair["texts"][0]["title"].split()) - len(catalog[row]["title"].split())
            added.setdefault((first_alone, pair["levels"][0]), []).append(words > 0)
    assert not any(added[False, "clean"])
    assert all(added[False, "heavy"])
    assert 0 < np.mean(added[True, "clean"]) < 1
    assert 0 < np.mean(added[True, "heavy"]) < 1


def test_catalogs_may_hold_photos_alone():
    buffer = io.BytesIO()
    photo().save(buffer, "PNG")
    rows = {"item_id": ["a", "b"], "image": [{"bytes": buffer.getvalue(), "path": None}] * 2}
    pair = TGQFormerPairDataset(load_catalog(Dataset.from_dict(rows)), ListingSynthesizer(CONFIG))[0, 1]
    assert pair["texts"] == ({"title": "", "category": None, "attributes": None},) * 2
    assert pair["category"] is None
    assert pair["images"][0].tobytes() != pair["images"][1].tobytes()


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


def test_errors_name_the_thing(catalog):
    with pytest.raises(ValueError, match="level: expected one of clean, light, heavy, found 'loud'"):
        make("loud")
    with pytest.raises(ValueError, match="title_level: expected one of clean, light, heavy, found 'loud'"):
        ListingSynthesizer(CONFIG)(photo(), TEXT, level="clean", title_level="loud", rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match="streaming=False"):
        TGQFormerPairDataset(catalog.to_iterable_dataset())
    with pytest.raises(ValueError, match="needs the listing photo 'image'"):
        TGQFormerPairDataset(catalog.rename_column("image", "query_image"))
    with pytest.raises(ValueError, match=r"level_shares: expected levels out of .*found \['loud'\]"):
        TGQFormerPairDataset(catalog, level_shares={"loud": 1})
    with pytest.raises(ValueError, match="level_shares: expected shares that are not all 0"):
        TGQFormerPairDataset(catalog, level_shares={"clean": 0})
    with pytest.raises(ValueError, match=r"wrong_titles: expected a share in \[0, 1\], found 1.5"):
        TGQFormerPairDataset(catalog, wrong_titles=1.5)
    with pytest.raises(IndexError, match="row 6 of a catalog with 6 rows"):
        TGQFormerPairDataset(catalog)[6]
    broken = load_catalog(Dataset.from_dict({"item_id": ["x"], "image": [{"bytes": b"none", "path": None}]}))
    with pytest.raises(ValueError, match=r"row 0 \(item 'x'\), image cannot be read"):
        TGQFormerPairDataset(broken)[0]
