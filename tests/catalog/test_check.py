"""Faults of a catalog, listed at once, and its oddities."""

import json
from dataclasses import asdict
from pathlib import Path

import datasets
import pytest
from encoding_stubs import png

from tiger_fg_hf import TGQFormerProcessor, TigerFGProcessor, drawn_catalog, load_catalog
from tiger_fg_hf.catalog.check import CatalogReport, RowFault, check_catalog
from tiger_fg_hf.catalog.pairing import pair_queries

CARDS = Path(__file__).parents[2] / "model_cards"


@pytest.fixture
def shop(tmp_path, monkeypatch) -> datasets.Dataset:
    """A catalog of image files, 4 pixels wide and high, with a fault of every kind."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for row in range(9):
        (tmp_path / f"{row}.png").write_bytes(png(row))
    (tmp_path / "1.png").write_bytes(b"not an image")
    (tmp_path / "2.png").unlink()
    rows = [{"item_id": f"p{row}", "image": f"{row}.png", "title": "Mug", "box": [0, 0, 4, 4]} for row in range(10)]
    rows[3]["item_id"] = " "
    rows[4]["box"] = [10, 0, 14, 4]
    rows[5]["box"] = [3, 0, 3, 4]
    rows[6]["attributes"] = "{broken"
    rows[7]["title"] = None
    rows[9] |= {"image": None, "box": [0, 4, float("nan"), 4]}
    rows[8]["box"] = [-2, 0, 4, 4]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_catalog(tmp_path / "items.jsonl")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_all_faults_are_listed_with_row_id_and_reason(shop, tmp_path, num_workers):
    report = check_catalog(shop, num_workers=num_workers)
    found = [(fault.row, fault.item_id, fault.reason) for fault in report.faults]
    expected = [
        (1, "p1", f"image ('{tmp_path / '1.png'}') cannot be read: not an image"),
        (2, "p2", f"image ('{tmp_path / '2.png'}') cannot be read: No such file"),
        (3, None, "item_id is empty"),
        (4, "p4", "box [10.0, 0.0, 14.0, 4.0] lies outside the image of 4x4 pixels"),
        (5, "p5", "expected box [x0, y0, x1, y1] with x0 < x1"),
        (6, "p6", "attributes is not valid JSON"),
        (9, "p9", "expected box [x0, y0, x1, y1] with x0 < x1"),
        (9, "p9", "image is missing"),
    ]
    assert len(found) == len(expected)
    for (row, item_id, reason), (expected_row, expected_id, start) in zip(found, expected, strict=True):
        assert (row, item_id) == (expected_row, expected_id)
        assert reason.startswith(start)
    assert report.sound_rows() == [0, 7, 8]
    assert report.notes == {"empty_texts": 1, "empty_titles": 1, "clipped_boxes": 1}


def test_images_can_be_left_out(shop, tmp_path):
    report = check_catalog(shop, images=False)
    assert [fault.row for fault in report.faults] == [3, 5, 6, 9]


def test_the_report_prints_and_raises(shop):
    report = check_catalog(shop)
    lines = str(report).splitlines()
    assert lines[0] == "7 of 10 rows cannot be used"
    assert lines[3] == "row 3 (item_id None): item_id is empty"
    notes = "empty titles: 1, rows without title, category and attributes: 1, boxes clipped to their image: 1"
    assert lines[-1] == notes
    assert "| 3 | None | item_id is empty |" in report.to_markdown()
    assert json.loads(json.dumps(asdict(report)))["faults"][2]["reason"] == "item_id is empty"
    with pytest.raises(ValueError, match=r"7 of 10 rows cannot be used\nrow 1 \(item_id 'p1'\): image"):
        report.raise_if_faulty()
    many = CatalogReport(30, [RowFault(row, "a", "broken") for row in range(25)])
    with pytest.raises(ValueError) as raised:
        many.raise_if_faulty()
    assert len(str(raised.value).splitlines()) == 22
    assert str(raised.value).endswith(
        "row 19 (item_id 'a'): broken\n... and 5 more; `tiger-fg check` lists all of them"
    )


def test_a_sound_catalog(tmp_path):
    report = check_catalog(load_catalog(drawn_catalog(num_products=3, size=32)))
    assert report == CatalogReport(len(report.sound_rows()))
    assert str(report) == f"all {report.num_rows} rows are sound"
    report.raise_if_faulty()


@pytest.mark.parametrize(
    ("kind", "name"), [(TigerFGProcessor, "tiger-fg-tiny"), (TGQFormerProcessor, "tgq-former-tiny")]
)
def test_notes_of_a_processor(kind, name):
    processor = kind.from_pretrained(CARDS / name)
    rows = [
        {"item_id": "a", "image": {"bytes": png(0), "path": None}, "title": title} for title in ("mug", "mug " * 500)
    ]
    report = check_catalog(datasets.Dataset.from_list(rows), processor=processor)
    assert (report.faults, report.notes) == ([], {"cut_texts": 1, "duplicate_item_ids": 1})


def test_an_unmapped_source_uses_the_columns_of_the_processor():
    processor = TigerFGProcessor.from_pretrained(CARDS / "tiger-fg-tiny")
    rows = [{"sku": "a", "photo": {"bytes": data, "path": None}, "name": "mug"} for data in (png(0), b"?")]
    source = datasets.Dataset.from_list(rows).cast_column("photo", datasets.Image())
    faults = check_catalog(source, processor=processor).faults
    assert any("no field of the text template" in fault.reason for fault in faults)
    processor.columns = {"item_id": "sku", "image": "photo", "title": "name"}
    faults = check_catalog(source, processor=processor).faults
    assert [fault.row for fault in faults] == [1]


def test_pairs_are_checked_on_both_sides():
    def catalog(*images):
        rows = [
            {"item_id": f"p{row}", "image": {"bytes": data, "path": None}, "title": "x"}
            for row, data in enumerate(images)
        ]
        return load_catalog(datasets.Dataset.from_list(rows))

    paired = pair_queries(catalog(png(0), b"?", png(1)), catalog(png(2), png(3), b"?"))
    faults = check_catalog(paired).faults
    assert [(fault.row, fault.reason.split(" ")[0]) for fault in faults] == [(1, "query_image"), (2, "image")]
