import resource
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiger_fg_hf.catalog import parquet_budget
from tiger_fg_hf.catalog.source import load_catalog

ROWS = 400


def write_bomb(path, kind):
    """400 rows with one title of a megabyte each."""
    title = "mug " * 250_000
    columns = {"item_id": [str(row) for row in range(ROWS)], "image": ["a.png"] * ROWS}
    if kind == "run lengths":
        pq.write_table(pa.table({"item_id": pa.nulls(10_000_000, pa.string())}), path)
        return
    text = pa.array([title] * ROWS)
    if kind == "nested":
        text = pa.StructArray.from_arrays([text], ["text"])
    pq.write_table(pa.table({**columns, "title": text}), path, use_dictionary=kind != "plain", compression="zstd")


@pytest.mark.parametrize("kind", ["plain", "dictionary", "nested", "run lengths"])
@pytest.mark.parametrize("in_folder", [False, True])
def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch, kind, in_folder):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    if kind == "run lengths":  # smaller, because the test itself holds all rows
        monkeypatch.setattr(parquet_budget, "MIN_UNPACKED", 2**24)
    path = tmp_path / "shop" / "items.parquet"
    path.parent.mkdir()
    write_bomb(path, kind)
    assert path.stat().st_size < 80_000
    with pytest.raises(
        ValueError, match=r"items\.parquet has [\d,]+ bytes and unpacks to [\d,]+ or more; (268,435,456|16,7)"
    ):
        load_catalog(path.parent if in_folder else path)


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
@pytest.mark.parametrize("kind", ["dictionary", "nested"])
def test_counting_repeated_values_does_not_repeat_them(tmp_path, kind):
    write_bomb(tmp_path / "items.parquet", kind)
    before = pa.total_allocated_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="unpacks to"):
        parquet_budget.check_unpacked_size([str(tmp_path / "items.parquet")])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[1] < 100 * 1024


@pytest.mark.parametrize("is_measured", [False, True])
def test_catalogs_pass(tmp_path, monkeypatch, is_measured):
    """Many equal categories, and lists and pictures that do not repeat."""
    if is_measured:
        monkeypatch.setattr(parquet_budget, "MIN_UNPACKED", 2_000_000)
    rows = 20_000
    table = pa.table(
        {
            "item_id": [str(row) for row in range(rows)],
            "category": ["Kitchen > Mugs"] * rows,
            "attributes": [["red", "blue"]] * rows,
            "image": pa.StructArray.from_arrays([pa.array([b"%d" % row for row in range(rows)])], ["bytes"]),
            "price": [1.5] * rows,
        }
    )
    pq.write_table(table, tmp_path / "items.parquet")
    parquet_budget.check_unpacked_size([str(tmp_path / "items.parquet"), "https://example.org/items.parquet"])
