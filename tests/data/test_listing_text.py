"""Texts of further listings: shorter, in another order, and with promotional words."""

import numpy as np

from tiger_fg_hf.data.listing_text import advertise, rewrite
from tiger_fg_hf.synthetic.overlays import LEVELS

TEXT = {
    "title": "acme ribbed mug with handle 350 ml teal",
    "category": "mug",
    "attributes": {"color": "teal", "material": "clay", "terms": "cup, tea mug, coffee mug, gift, kitchen"},
}
KEEP = {"keep_words": (0.4, 0.9), "move_words": 2.0, "keep_attributes": (0.3, 0.9), "drop_category_probability": 0.1}


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
