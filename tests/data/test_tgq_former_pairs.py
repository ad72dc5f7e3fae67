"""Pairs of two listings: complete, reproducible, and with levels and titles drawn as asked."""

import hashlib
import io

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.data.tgq_former_pairs import TGQFormerPairDataset
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.synthetic.overlays import LEVELS
from tiger_fg_hf.training.sampler import EpochBatchSampler

SIZE = 64
CONFIG = ListingConfig(size=SIZE)


@pytest.fixture(scope="module")
def catalog():
    return load_catalog(drawn_catalog(num_products=6, layout="mixed", size=64, with_queries=False))


def digest(pair: dict) -> str:
    text = f"{[pair[name] for name in ('item_id', 'category', 'row', 'texts', 'levels')]}"
    return hashlib.sha256(text.encode() + b"".join(image.tobytes() for image in pair["images"])).hexdigest()


def digests(pairs: list[dict]) -> list[str]:
    return [digest(pair) for pair in pairs]


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
    # Enough products for several of a category. Titles keep all words, so that they identify their products.
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


def test_promotional_words_of_single_listings_are_independent_of_overlays():
    """Dual encoders are trained on such listings, and must match pictures with products instead of overlays."""
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
    Image.new("RGB", (80, 60), "white").save(buffer, "PNG")
    rows = {"item_id": ["a", "b"], "image": [{"bytes": buffer.getvalue(), "path": None}] * 2}
    pair = TGQFormerPairDataset(load_catalog(Dataset.from_dict(rows)), ListingSynthesizer(CONFIG))[0, 1]
    assert pair["texts"] == ({"title": "", "category": None, "attributes": None},) * 2
    assert pair["category"] is None
    assert pair["images"][0].tobytes() != pair["images"][1].tobytes()


def test_errors_name_the_thing(catalog):
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
