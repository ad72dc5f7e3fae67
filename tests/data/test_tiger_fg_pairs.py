import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tiger_fg_hf.catalog.pairing import pair_queries
from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from tiger_fg_hf.data.tiger_fg_pairs import ItemAugmentation, TigerFGPairDataset


def photo(index: int, size=(72, 60)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle((20, 15, 50, 45), fill=(10 + 23 * index, 60, 200 - 20 * index))
    return image


def encoded(image: Image.Image) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def make_catalog(count=7, **columns) -> datasets.Dataset:
    data = {
        "item_id": [f"id{i}" for i in range(count)],
        "image": [encoded(photo(i)) for i in range(count)],
        "title": [f"thing {i}" for i in range(count)],
        "box": [[20, 15, 51, 46]] * count,
    }
    return load_catalog(datasets.Dataset.from_dict({**data, **columns}))


def make_dataset(seed=0, **options) -> TigerFGPairDataset:
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=32))
    options = {"item_augmentation": ItemAugmentation(), **options}
    return TigerFGPairDataset(make_catalog(), synthesizer, seed=seed, **options)


# Keys of two epochs, with a group that is split over batches, and single rows.
KEYS = [(0, 1, (1, 5, 2)), (0, 6), (0, 2, (1, 5, 2)), (1, 2, (1, 5, 2)), (0, 4, (4, 0)), (0, 0, (4, 0)), 3]


def make_mosaics(seed=0, **options) -> TigerFGPairDataset:
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=32))
    options = {"item_augmentation": ItemAugmentation(), "mosaic": MosaicComposer(MosaicConfig(size=64)), **options}
    catalog = make_catalog(category=[None, *"abcabc"])
    return TigerFGPairDataset(catalog, synthesizer, seed=seed, num_hard_texts=2, **options)


def digest(pair: dict) -> str:
    names = ("item_id", "row", "box", "text", "image_key", "flipped", "hard_texts")
    text = f"{[pair[name] for name in names]}"
    return hashlib.sha256(text.encode() + pair["query"].tobytes() + pair["image"].tobytes()).hexdigest()


def digests(pairs: list[dict]) -> list[str]:
    return [digest(pair) for pair in pairs]


def loaded(dataset, workers, **options) -> list[str]:
    loader = torch.utils.data.DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=digests, **options)
    return [one for batch in loader for one in batch]


def mosaic_digests() -> list[str]:
    dataset = make_mosaics()
    return digests([dataset[key] for key in KEYS])


def test_pair_has_all_parts():
    pair = make_dataset(item_augmentation=None)[3]
    assert (pair["item_id"], pair["row"], pair["box"]) == ("id3", 3, [20, 15, 51, 46])
    assert pair["text"] == {"title": "thing 3", "category": None, "attributes": None}
    assert pair["image"].tobytes() == photo(3).tobytes()
    assert max(pair["query"].size) == 32
    assert (pair["image_key"], pair["flipped"], pair["hard_texts"]) == ((0, 3), False, [])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_data_do_not_depend_on_workers_order_or_history():
    expected = digests(list(map(make_dataset().__getitem__, range(7))))
    for workers in (0, 1, 2, 3):
        assert loaded(make_dataset(), workers) == expected
    dataset = make_dataset()
    assert [digest(dataset[row]) for row in reversed(range(7))] == expected[::-1]
    assert digest(dataset[-1]) == expected[-1]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_mosaics_do_not_depend_on_workers_order_or_batches():
    expected = mosaic_digests()
    assert len(set(expected)) == len(KEYS)
    for dataset in (make_mosaics(), make_mosaics(cache_decoded=True)):
        assert digests(dataset.__getitems__(KEYS)) == expected
        assert digests(dataset.__getitems__(KEYS[::-1])) == expected[::-1]
        for workers in (0, 2):
            assert loaded(dataset, workers, sampler=KEYS) == expected
    assert set(digests(make_mosaics(seed=1).__getitems__(KEYS))).isdisjoint(expected)


def test_siblings_share_one_picture():
    first, alone, second, later, *_ = make_mosaics().__getitems__(KEYS)
    assert first["image"] is second["image"]
    assert first["image"].size == (64, 64)
    assert first["image_key"] == second["image_key"]
    assert len({pair["image_key"] for pair in (first, alone, later)}) == 3
    assert later["image"].tobytes() != first["image"].tobytes()
    assert first["box"] != second["box"]
    assert first["text"] != second["text"]
    for pair in (first, second, later):
        x0, y0, x1, y1 = map(int, pair["box"])
        region = np.asarray(pair["image"])[y0:y1, x0:x1].reshape(-1, 3).astype(int)
        wanted = np.array([10 + 23 * pair["row"], 60, 200 - 20 * pair["row"]])
        assert (np.abs(region - wanted).max(axis=1) < 50).mean() > 0.6


def test_a_mosaic_leaves_query_and_hard_texts_as_they_are():
    dataset = make_mosaics()
    own, shared = dataset[0, 2], dataset[0, 2, (1, 5, 2)]
    assert own["query"].tobytes() == shared["query"].tobytes()
    assert own["hard_texts"] == shared["hard_texts"]


def test_real_queries_go_with_mosaics():
    real = encoded(Image.new("RGB", (50, 40), "green"))
    catalog = make_catalog(3, query_image=[real, None, real])
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=32))
    dataset = TigerFGPairDataset(catalog, synthesizer, mosaic=MosaicComposer(MosaicConfig(size=64)))
    pair, other = dataset.__getitems__([(0, 0, (0, 1)), (0, 1, (0, 1))])
    assert pair["query"].getpixel((5, 5)) == (0, 128, 0)
    assert max(other["query"].size) == 32
    assert pair["image"] is other["image"]


def test_hard_texts_are_of_other_categories():
    dataset = make_mosaics()
    texts = [dataset.texts[row] for row in range(7)]
    assert dataset.categories == [None, *"abcabc"]
    drawn = set()
    for key in [(epoch, row) for epoch in range(8) for row in range(7)]:
        pair = dataset[key]
        assert len(pair["hard_texts"]) == 2
        for text in pair["hard_texts"]:
            assert text["title"] != pair["text"]["title"]
            assert text["category"] != pair["text"]["category"]
            assert text["category"] is not None
            drawn.add(text["title"])
    assert drawn == {text["title"] for text in texts[1:]}


def test_unusable_groups_and_hard_texts():
    dataset = make_mosaics()
    for group in ((1, 2), (3, 3), ()):
        with pytest.raises(ValueError, match="group of different rows, row 3 among them"):
            dataset[0, 3, group]
    with pytest.raises(IndexError):
        dataset[0, 3, (3, 7)]
    with pytest.raises(ValueError, match="needs a TigerFGPairDataset with mosaic"):
        make_dataset()[0, 3, (3, 1)]
    with pytest.raises(ValueError, match="has only one"):
        TigerFGPairDataset(make_catalog(category=["hats"] * 7), QuerySynthesizer(), num_hard_texts=1)


def test_data_do_not_depend_on_the_process():
    code = "import test_tiger_fg_pairs as t; print(t.digest(t.make_mosaics()[t.KEYS[0]]))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == mosaic_digests()[0]


def test_seeds_and_epochs_differ():
    dataset = make_dataset()
    first = digest(dataset[0])
    assert digest(dataset[1, 0]) != first
    assert digest(dataset[0, 0]) == first
    assert digest(make_dataset(seed=1)[0]) != first


def test_one_loader_serves_several_epochs():
    dataset = make_dataset()
    keys = [(epoch, row) for epoch in (0, 1, 2) for row in (4, 0)]
    loader = torch.utils.data.DataLoader(dataset, sampler=keys, batch_size=2, num_workers=2, collate_fn=digests)
    assert [one for batch in loader for one in batch] == digests([dataset[key] for key in keys])


def test_decoded_cache_gives_the_same_pairs():
    expected = digests([make_dataset()[row] for row in range(7)])
    cached = make_dataset(cache_decoded=True)
    assert digests([cached[row] for row in range(7)]) == expected
    assert loaded(cached, 2) == expected


def test_a_listing_that_several_queries_show_is_kept_once():
    def paired(**options) -> TigerFGPairDataset:
        shown = [2, 0, 2, 1, 2, 0]
        queries = {"item_id": [f"id{i}" for i in shown], "query_image": [encoded(photo(row)) for row in range(6)]}
        catalog = pair_queries(load_catalog(datasets.Dataset.from_dict(queries)), make_catalog(4))
        return TigerFGPairDataset(catalog, item_augmentation=ItemAugmentation(), **options)

    plain, cached = paired(), paired(cache_decoded=True)
    assert digests([cached[row] for row in range(6)]) == digests([plain[row] for row in range(6)])
    assert len(cached.cache) == 3
    assert len(make_dataset(cache_decoded=True).cache) == 7


def test_small_cache_scales_boxes():
    pair = make_dataset(cache_decoded=True, cache_max_side=36, item_augmentation=None)[0]
    assert pair["image"].size == (36, 30)
    assert pair["box"] == pytest.approx([10, 7.5, 25.5, 23])


def test_item_augmentation_keeps_the_object_in_the_box():
    augmentation = ItemAugmentation(crop_probability=1.0, crop=0.5, flip_probability=0.5)
    sizes = set()
    for seed in range(40):
        original = photo(0)
        original.paste((255, 0, 0), (20, 15, 25, 46))  # marks the left edge
        image, box, flipped = augmentation(original, [20, 15, 51, 46], np.random.default_rng(seed))
        left_is_red = image.getpixel((box[0], box[1]))[0] == 255
        assert flipped == (not left_is_red)
        colored = np.asarray(image).min(axis=-1) < 128
        rows, columns = np.nonzero(colored)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        sizes.add(image.size)
    assert len(sizes) > 10
    image, box, _ = augmentation(photo(0), None, np.random.default_rng(0))
    assert box is None


def test_real_queries_are_used():
    real = encoded(Image.new("RGB", (50, 40), "green"))
    dataset = TigerFGPairDataset(
        make_catalog(2, query_image=[real, None]), QuerySynthesizer(QuerySynthesisConfig(size=32))
    )
    assert dataset[0]["query"].getpixel((5, 5)) == (0, 128, 0)
    assert dataset[0]["query"].size == (50, 40)
    assert max(dataset[1]["query"].size) == 32
    varied = TigerFGPairDataset(dataset.catalog, dataset.synthesizer, augment_query_images=True)
    assert max(varied[0]["query"].size) == 32
    with pytest.raises(ValueError, match=r"row 1 \(item 'id1'\): no query_image"):
        TigerFGPairDataset(dataset.catalog)[1]


def test_paired_catalog_needs_no_synthesizer():
    queries = make_catalog(3).select_columns(["item_id", "image"])
    dataset = TigerFGPairDataset(pair_queries(queries, make_catalog(7)))
    assert dataset[2]["query"].tobytes() == photo(2).tobytes()
    assert dataset[2]["text"]["title"] == "thing 2"


def test_broken_image_names_row_and_item():
    broken = make_catalog(2, image=[encoded(photo(0)), {"bytes": b"no image", "path": None}])
    dataset = TigerFGPairDataset(broken, QuerySynthesizer())
    with pytest.raises(ValueError, match=r"row 1 \(item 'id1'\), image"):
        dataset[1]
    with pytest.raises(ValueError, match=r"row 1 \(item 'id1'\), image"):
        TigerFGPairDataset(broken, QuerySynthesizer(), cache_decoded=True)


def test_unusable_catalogs():
    catalog = make_catalog()
    with pytest.raises(TypeError, match="streaming=False"):
        TigerFGPairDataset(catalog.to_iterable_dataset(), QuerySynthesizer())
    with pytest.raises(ValueError, match="synthesizer: needed"):
        TigerFGPairDataset(catalog)
    with pytest.raises(ValueError, match="listing photo 'image'"):
        TigerFGPairDataset(catalog.rename_column("image", "query_image"))
    with pytest.raises(IndexError):
        make_dataset()[7]
