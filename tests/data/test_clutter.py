"""Photos of clutter: their pools and their bank."""

import datasets
import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf.data.clutter import ClutterBank, clutter_pool, open_clutter


def test_clutter_pools_are_disjoint_and_repeatable():
    dataset = datasets.Dataset.from_dict({"row": list(range(40))})
    query, item = clutter_pool(dataset, "query"), clutter_pool(dataset, "item")
    assert sorted([*query["row"], *item["row"]]) == list(range(40))
    assert len(query) == 20
    assert list(query["row"]) == list(clutter_pool(dataset, "query")["row"])
    with pytest.raises(ValueError, match="expected 'query' or 'item'"):
        clutter_pool(dataset, "other")


def test_clutter_bank_reads_datasets_and_names_bad_images():
    photos = [Image.new("RGB", (50, 40), "red"), Image.new("RGB", (30, 60), "blue")]
    bank = ClutterBank(datasets.Dataset.from_dict({"image": photos}), side=24)
    assert bank.pixels.shape == (2, 24, 24, 3)
    assert bank.sample(np.random.default_rng(0), (40, 15)).size == (40, 15)
    with pytest.raises(ValueError, match=r"clutter\[1\]"):
        ClutterBank([photos[0], b"no image"])
    with pytest.raises(ValueError, match="at least one image"):
        ClutterBank([])


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/photos.parquet", "https://127.0.0.1:9/photos"])
def test_clutter_is_not_downloaded_from_a_url(source):
    with pytest.raises(ValueError, match=r"clutter http.*: it is a URL; download it first"):
        open_clutter(source, "query", size=32)
