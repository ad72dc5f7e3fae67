"""The dataset of the listings benchmark on disk."""

import io
import json

import numpy as np
import pytest
from benchmark_models import drawn_products
from datasets import Dataset
from PIL import Image

from benchmarks.listings.dataset import ListingBenchmarkConfig, build_listing_benchmark, load_listing_benchmark
from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.listings import ListingConfig
from tiger_fg_hf.synthetic.overlays import HEAVY_COVERED, LEVELS, LIGHT_HIDDEN

CONFIG = ListingBenchmarkConfig(seed=3, listings=ListingConfig(size=64))


@pytest.fixture(scope="module")
def catalog():
    return drawn_products(10)


@pytest.fixture(scope="module")
def built(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("listings") / "benchmark"
    return folder, build_listing_benchmark(catalog.select(range(6)), folder, CONFIG, distractors=catalog)


def noise(count: int, seed: int) -> ClutterBank:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return ClutterBank([Image.fromarray(photo) for photo in pixels], side=16)


def pixels(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))).astype(int)


def test_same_arguments_give_the_same_bytes(catalog, built, tmp_path):
    products = catalog.select(range(6))
    again = build_listing_benchmark(products, tmp_path / "again", CONFIG, distractors=catalog)
    assert again.meta == built[1].meta
    for level in LEVELS:
        assert list(again.queries[level]) == list(built[1].queries[level])
        assert list(again.pool[level]) == list(built[1].pool[level])
    other = ListingBenchmarkConfig(seed=4, listings=CONFIG.listings)
    assert build_listing_benchmark(products, tmp_path / "other", other).meta["content"] != again.meta["content"]


def test_every_query_has_one_true_answer(catalog, built):
    benchmark = built[1]
    ids = catalog["item_id"]
    for level in LEVELS:
        assert benchmark.queries[level]["item_id"] == ids[:6]
        # The catalog of distractors includes the products, which are not shown twice.
        assert benchmark.pool[level]["item_id"] == ids
        assert benchmark.pool[level]["is_distractor"] == [False] * 6 + [True] * 4
        for query, answer in zip(benchmark.queries[level], benchmark.pool[level], strict=False):
            assert query["image"]["bytes"] != answer["image"]["bytes"]
    counts = {name: benchmark.meta[name] for name in ("products", "distractor_listings", "left_out")}
    assert counts == {"products": 6, "distractor_listings": 4, "left_out": 6}


def test_levels_keep_geometry_and_text(built):
    for part in (built[1].queries, built[1].pool):
        assert set(part) == set(LEVELS)
        for clean, light, heavy in zip(*(part[level] for level in LEVELS), strict=True):
            assert clean["covered"] == 0
            assert not clean["elements"]
            assert light["hidden"] <= LIGHT_HIDDEN
            assert HEAVY_COVERED[0] <= heavy["covered"] <= HEAVY_COVERED[1]
            for promoted in (light, heavy):
                # Uncovered pixels differ only by compression.
                same = np.abs(pixels(promoted) - pixels(clean)).max(axis=-1) <= 24
                assert same.mean() >= 1 - promoted["covered"] - 0.15
                assert clean["title"] in promoted["title"]
                assert [clean[name] for name in ("item_id", "category", "attributes")] == [
                    promoted[name] for name in ("item_id", "category", "attributes")
                ]


def test_records_are_as_the_processor_takes_them(built):
    record = built[1].records(built[1].pool["heavy"])[0]
    assert set(record) == {"title", "category", "attributes"}
    assert isinstance(record["attributes"], dict)


def test_the_products_category_stays_where_a_listing_leaves_it_out(catalog, tmp_path):
    config = ListingBenchmarkConfig(listings=ListingConfig(size=64, drop_category_probability=1.0))
    benchmark = build_listing_benchmark(catalog.select(range(4)), tmp_path / "b", config)
    for part in (benchmark.queries, benchmark.pool):
        assert part["light"]["category"] == [None] * 4
        assert part["light"]["product_category"] == catalog["category"][:4]
        assert "product_category" not in benchmark.records(part["light"])[0]


def test_products_do_not_depend_on_distractors(catalog, built, tmp_path):
    alone = build_listing_benchmark(catalog.select(range(6)), tmp_path / "b", CONFIG)
    for level in LEVELS:
        assert list(alone.queries[level]) == list(built[1].queries[level])
        assert list(alone.pool[level]) == list(built[1].pool[level].select(range(6)))
    assert alone.meta["distractor_listings"] == 0


def test_any_catalog_gives_one_product_an_item(tmp_path):
    views = drawn_products(3, views=2)
    rows = [views[index] for index in range(len(views))]
    rows[0]["image"] = None  # its product's other listing has one
    rows[4]["image"] = rows[5]["image"] = None  # nothing to show
    changed = load_catalog(Dataset.from_list(rows, features=views.features).select_columns(["item_id", "image"]))
    benchmark = build_listing_benchmark(changed, tmp_path / "b", CONFIG)
    assert benchmark.queries["heavy"]["item_id"] == [rows[0]["item_id"], rows[2]["item_id"]]
    assert benchmark.meta["left_out"] == 4
    assert benchmark.records(benchmark.queries["heavy"])[0] == {"title": "", "category": None, "attributes": {}}


def test_what_is_there_is_read_and_what_differs_is_refused(catalog, built):
    folder, benchmark = built
    products = catalog.select(range(6))
    assert build_listing_benchmark(products, folder, CONFIG, distractors=catalog).meta == benchmark.meta
    assert list(load_listing_benchmark(folder).pool["light"]) == list(benchmark.pool["light"])
    with pytest.raises(ValueError, match="differs in distractors; choose another folder"):
        build_listing_benchmark(products, folder, CONFIG)
    with pytest.raises(ValueError, match="differs in catalog, clutter, config"):
        build_listing_benchmark(catalog, folder, distractors=catalog, pool_clutter=noise(2, 0))


def test_a_folder_is_written_whole_or_not_at_all(catalog, tmp_path):
    broken = Dataset.from_list(
        [{"item_id": "x", "image": {"bytes": b"none", "path": None}}],
        features=catalog.select_columns(["item_id", "image"]).features,
    )
    with pytest.raises(ValueError, match=r"row 0 \(item 'x'\), image cannot be read"):
        build_listing_benchmark(catalog.select(range(2)), tmp_path / "b", CONFIG, distractors=broken)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no listing with a picture"):
        build_listing_benchmark(catalog.select([]), tmp_path / "b", CONFIG)
    with pytest.raises(FileNotFoundError, match="holds no complete benchmark"):
        load_listing_benchmark(tmp_path / "b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other than a benchmark"):
        build_listing_benchmark(catalog, tmp_path / "b", CONFIG)


def test_changed_content_is_noticed(catalog, tmp_path):
    build_listing_benchmark(catalog.select([0]), tmp_path / "b", CONFIG)
    meta = json.loads((tmp_path / "b" / "listings.json").read_text())
    (tmp_path / "b" / "listings.json").write_text(json.dumps(meta | {"content": "0" * 32}))
    with pytest.raises(ValueError, match="has changed"):
        load_listing_benchmark(tmp_path / "b")


def test_clutter_that_both_sides_show_is_refused(catalog, tmp_path):
    bank = noise(4, 0)
    with pytest.raises(ValueError, match="share 4 photos"):
        build_listing_benchmark(catalog, tmp_path / "b", CONFIG, query_clutter=bank, pool_clutter=bank)
