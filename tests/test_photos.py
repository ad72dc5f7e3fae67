"""The photos of the quickstart, and the script that wrote them."""

from pathlib import Path

import pytest
from benchmark_models import drawn_products
from tiny_training import load_script

from tiger_fg_hf import load_catalog
from tiger_fg_hf.catalog.check import check_catalog
from tiger_fg_hf.catalog.records import CatalogRecords
from tiger_fg_hf.data.mosaic import MosaicConfig
from tiger_fg_hf.data.scene import SceneConfig
from tiger_fg_hf.evaluation.immr import IMMRConfig, build_immr
from tiger_fg_hf.evaluation.immr_scores import GALLERIES

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT = load_script(EXAMPLES / "make_photos.py")


def test_photos_are_a_catalog_without_faults():
    folder = EXAMPLES / "photos"
    catalog = load_catalog(folder / "catalog.csv")
    assert len(catalog) == len(set(catalog["item_id"])) == 60
    assert not check_catalog(catalog).faults
    pictures = {f"{kind}/{item_id}.jpg" for kind in ("listings", "crops") for item_id in catalog["item_id"]}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")} == pictures
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2_000_000
    assert "CC BY 4.0" in (folder / "README.md").read_text()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("immr") / "benchmark"
    config = IMMRConfig(seed=0, mosaics=MosaicConfig(size=64), scenes=SceneConfig(size=64))
    return folder, build_immr(drawn_products(8), folder, config)


def test_listings_come_from_all_galleries_in_turn(benchmark, tmp_path):
    folder, built = benchmark
    SCRIPT.main(["--benchmark", str(folder), "--output", str(tmp_path), "--products", "6"])
    written = load_catalog(tmp_path / "catalog.csv")
    rows = {item_id: row for row, item_id in enumerate(built.normal["item_id"])}
    queries = {query["item_id"]: query["query_image"]["bytes"] for query in built.queries}
    records = CatalogRecords(written)
    for place, record in enumerate(records):
        row = rows[record["item_id"]]
        expected = getattr(built, GALLERIES[place % 3])[row]["image"]["bytes"]
        assert Path(written[place]["image"]["path"]).read_bytes() == expected
        assert (tmp_path / "crops" / f"{record['item_id']}.jpg").read_bytes() == queries[record["item_id"]]
        known = built.records()[row]
        assert {name: record[name] for name in known} == known


def test_numbers_of_products_are_checked(benchmark, tmp_path):
    for products in ("0", "4", "12"):
        with pytest.raises(ValueError, match="--products must be a multiple of 3"):
            SCRIPT.main(["--benchmark", str(benchmark[0]), "--output", str(tmp_path), "--products", products])
