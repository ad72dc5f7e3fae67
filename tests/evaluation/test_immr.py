"""The IMMR benchmark on disk."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from benchmark_models import drawn_products
from datasets import Dataset
from PIL import Image

from tiger_fg_hf import load_catalog
from tiger_fg_hf.catalog.pairing import pair_queries
from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.mosaic import MosaicConfig
from tiger_fg_hf.data.scene import SceneConfig
from tiger_fg_hf.evaluation.content import content_digest
from tiger_fg_hf.evaluation.immr import IMMRConfig, build_immr, draw_distractors, load_immr

SCENES = SceneConfig(size=64)
CONFIG = IMMRConfig(seed=3, mosaics=MosaicConfig(size=64), scenes=SCENES)


@pytest.fixture(scope="module")
def catalog():
    return drawn_products(10)


@pytest.fixture(scope="module")
def built(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("immr") / "benchmark"
    return folder, build_immr(catalog, folder, CONFIG)


def noise(count: int, seed: int) -> ClutterBank:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return ClutterBank([Image.fromarray(photo) for photo in pixels], side=16)


def test_same_arguments_give_the_same_bytes(catalog, built, tmp_path):
    again = build_immr(catalog, tmp_path / "again", CONFIG)
    assert again.meta == built[1].meta
    assert list(again.mosaic) == list(built[1].mosaic)
    assert list(again.scene) == list(built[1].scene)
    other = build_immr(catalog, tmp_path / "other", replace(CONFIG, seed=4))
    assert other.meta["content"] != again.meta["content"]
    assert other.meta["scene"]["content"] != again.meta["scene"]["content"]
    # The seed changes mosaics, but not the catalog's own queries and listings.
    assert list(other.queries) == list(again.queries)
    assert list(other.normal) == list(again.normal)


def test_own_queries_and_listings_keep_their_bytes(catalog, built):
    benchmark = built[1]
    assert benchmark.queries["item_id"] == benchmark.normal["item_id"] == benchmark.mosaic["item_id"]
    for row, source in enumerate(catalog):
        assert benchmark.queries[row]["query_image"]["bytes"] == source["query_image"]["bytes"]
        assert benchmark.normal[row]["image"]["bytes"] == source["image"]["bytes"]
        assert benchmark.normal[row]["box"] == source["box"]
    assert benchmark.records()[0]["title"] == catalog[0]["title"]
    assert benchmark.records()[0]["attributes"]["color"] == catalog[0]["attributes"]["color"]


def test_mosaics_show_the_target_among_other_categories(built):
    category_of = dict(zip(built[1].normal["item_id"], built[1].normal["category"], strict=True))
    for row in built[1].mosaic:
        categories = [category_of[item_id] for item_id in (row["item_id"], *row["distractors"])]
        assert 2 <= len(set(categories)) == len(categories) <= 4
        x0, y0, x1, y1 = row["box"]
        assert row["target_area"] == pytest.approx((x1 - x0) * (y1 - y0) / 64**2)
        assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (64, 64)


def test_scenes_show_every_product_and_no_prop_of_its_category(built):
    benchmark = built[1]
    category_of = dict(zip(benchmark.normal["item_id"], benchmark.normal["category"], strict=True))
    assert benchmark.scene["item_id"] == benchmark.normal["item_id"]
    assert benchmark.scene["title"] == benchmark.normal["title"]
    for row in benchmark.scene:
        assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (64, 64)
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 64
        assert row["target_area"] == pytest.approx((x1 - x0) * (y1 - y0) / 64**2)
        assert row["covered"] <= SCENES.max_covered
        assert row["prop"] is None or category_of[row["prop"]] != row["category"]


def test_props_are_of_another_category_where_there_is_one(catalog, tmp_path):
    scenes = replace(SCENES, prop_probability=1.0, area=(0.25, 0.3))
    benchmark = build_immr(catalog, tmp_path / "b", replace(CONFIG, scenes=scenes))
    category_of = dict(zip(benchmark.normal["item_id"], benchmark.normal["category"], strict=True))
    props = [row for row in benchmark.scene if row["prop"] is not None]
    assert len(props) >= 3
    assert all(category_of[row["prop"]] != row["category"] for row in props)
    # A catalog of one category has mosaics of one product and scenes without props.
    alone = load_catalog(Dataset.from_list([{**row, "category": "all"} for row in catalog], features=catalog.features))
    config = replace(CONFIG, scenes=scenes, distractors=(0, 0))
    assert build_immr(alone, tmp_path / "alone", config).scene["prop"] == [None] * len(catalog)


def test_a_catalog_without_boxes_has_scenes(catalog, tmp_path):
    grey = Image.new("RGB", (70, 50), (120, 130, 110))
    rows = [{**catalog[row], "image": grey, "box": None, "query_image": None} for row in range(4)]
    columns = ("item_id", "title", "category", "image")
    bare = load_catalog(Dataset.from_list([{name: row[name] for name in columns} for row in rows]))
    scene = build_immr(bare, tmp_path / "b", CONFIG_OF_TWO, item_clutter=noise(3, 0)).scene
    assert scene["box"] == scene["target_area"] == [None] * 4


def test_scenes_leave_the_other_parts_as_they_were(catalog, built, tmp_path):
    benchmark = built[1]
    other = build_immr(catalog, tmp_path / "b", replace(CONFIG, scenes=replace(SCENES, size=48)))
    assert other.meta["scene"]["content"] != benchmark.meta["scene"]["content"]
    assert other.meta["content"] == benchmark.meta["content"]
    # The digest is of the parts that there were before scenes.
    assert other.meta["content"] == content_digest([benchmark.queries, benchmark.normal, benchmark.mosaic])
    assert "scenes" not in other.meta["config"]


def test_a_benchmark_of_an_earlier_version_is_read_and_gains_scenes(catalog, built, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(built[0], folder)
    shutil.rmtree(folder / "scene")
    meta = json.loads((folder / "immr.json").read_text())
    del meta["scene"]
    (folder / "immr.json").write_text(json.dumps(meta))
    old = load_immr(folder)
    assert old.scene is None
    assert list(old.mosaic) == list(built[1].mosaic)
    again = build_immr(catalog, folder, CONFIG)
    assert again.meta == built[1].meta
    assert list(again.scene) == list(built[1].scene)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in built[0].iterdir())


def test_products_without_queries_get_one_synthesised(catalog, tmp_path):
    benchmark = build_immr(catalog.remove_columns("query_image"), tmp_path / "b", CONFIG)
    assert benchmark.meta["queries"] == benchmark.meta["products"] == 10
    pictures = [Image.open(io.BytesIO(row["query_image"]["bytes"])) for row in benchmark.queries]
    assert all(max(picture.size) == CONFIG.queries.size for picture in pictures)


def test_any_catalog_gives_one_listing_a_product(catalog, tmp_path):
    views = drawn_products(6, views=2)
    rows = [views[index] for index in range(len(views))]
    rows[2]["category"] = None  # its product's other listing has one
    rows[4]["image"] = rows[5]["image"] = None  # nothing to show
    changed = load_catalog(Dataset.from_list(rows, features=views.features))
    benchmark = build_immr(changed, tmp_path / "b", CONFIG)
    assert benchmark.normal["item_id"] == [rows[index]["item_id"] for index in (0, 3, 6, 8, 10)]
    assert benchmark.meta["left_out"] == 3
    # Every view has a query, except the row that comes before its product has a listing.
    assert benchmark.meta["queries"] == 9


def test_real_queries_joined_to_listings(catalog, tmp_path):
    photos = Dataset.from_list(
        [{"item_id": catalog[row]["item_id"], "image": catalog[row]["query_image"]} for row in (1, 1, 0)],
        features=catalog.select_columns(["item_id", "image"]).features,
    )
    benchmark = build_immr(pair_queries(load_catalog(photos), catalog), tmp_path / "b", CONFIG_OF_TWO)
    assert benchmark.normal["item_id"] == [catalog[1]["item_id"], catalog[0]["item_id"]]
    assert benchmark.queries["item_id"] == [catalog[1]["item_id"]] * 2 + [catalog[0]["item_id"]]


CONFIG_OF_TWO = IMMRConfig(mosaics=MosaicConfig(size=64), distractors=(1, 1), scenes=SCENES)


def test_pictures_are_embedded(catalog, tmp_path):
    path = tmp_path / "photo.png"
    Image.open(io.BytesIO(catalog[0]["image"]["bytes"])).save(path)
    rows = [{"item_id": str(row), "title": "t", "category": str(row), "image": str(path)} for row in range(2)]
    benchmark = build_immr(load_catalog(Dataset.from_list(rows)), tmp_path / "b", CONFIG_OF_TWO)
    content = path.read_bytes()
    path.unlink()
    assert load_immr(tmp_path / "b").normal[1]["image"]["bytes"] == content
    assert benchmark.normal[0]["box"] is None


def test_what_is_there_is_read_and_what_differs_is_refused(catalog, built):
    folder, benchmark = built
    assert build_immr(catalog, folder, CONFIG).meta == benchmark.meta
    with pytest.raises(ValueError, match="differs in catalog; choose another folder"):
        build_immr(catalog.select(range(9)), folder, CONFIG)
    with pytest.raises(ValueError, match="differs in scenes; choose another folder"):
        build_immr(catalog, folder, replace(CONFIG, scenes=replace(SCENES, area=(0.3, 0.4))))
    with pytest.raises(ValueError, match="differs in clutter, config"):
        build_immr(catalog, folder, IMMRConfig(), item_clutter=noise(2, 0))


def test_a_folder_is_written_whole_or_not_at_all(catalog, tmp_path):
    with pytest.raises(ValueError, match="fewer than 2 categories"):
        build_immr(catalog.select([0]), tmp_path / "b", CONFIG_OF_TWO)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="holds no complete benchmark"):
        load_immr(tmp_path / "b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other than a benchmark"):
        build_immr(catalog, tmp_path / "b", CONFIG)


def test_changed_content_is_noticed(catalog, tmp_path):
    build_immr(catalog, tmp_path / "b", CONFIG)
    meta = json.loads((tmp_path / "b" / "immr.json").read_text())
    for changed in ({"content": "0" * 32}, {"scene": meta["scene"] | {"content": "0" * 32}}):
        (tmp_path / "b" / "immr.json").write_text(json.dumps(meta | changed))
        with pytest.raises(ValueError, match=r"ha(s|ve) changed"):
            load_immr(tmp_path / "b")


def test_pools_that_share_a_photo_are_refused(catalog, tmp_path):
    query, item = noise(4, 0), noise(4, 1)
    item.pixels[2] = query.pixels[3]
    with pytest.raises(ValueError, match=r"share 1 photos \(item_clutter\[2\]"):
        build_immr(catalog, tmp_path / "b", CONFIG, query_clutter=query, item_clutter=item)


def test_distractors_need_other_categories():
    rng = np.random.default_rng(0)
    drawn = draw_distractors(["a", "b", "b", None, "c"], 0, (2, 2), rng)
    assert len(drawn) == 2
    assert 4 in drawn
    assert 3 not in drawn
    with pytest.raises(ValueError, match="fewer than 3 categories"):
        draw_distractors(["a", "b", "b"], 0, (2, 2), rng)
    with pytest.raises(ValueError, match="has no category"):
        draw_distractors([None, "b"], 0, (1, 1), rng)
