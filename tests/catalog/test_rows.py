"""Training, encoding and the check accept the same rows, and refuse the others with the same words."""

import random

import pytest
from datasets import Dataset
from odd_records import Unprintable, deep, hostile_record
from PIL import Image
from processor_cases import make_tgq_former, make_tiger_fg, odd_row

from tiger_fg_hf.catalog.check import _CheckedRow
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.catalog.records import CatalogRecords
from tiger_fg_hf.catalog.rows import ItemRows
from tiger_fg_hf.data.text_table import TextTable

PHOTO = Image.new("RGB", (16, 16))


def training_fault(row):
    """Why a row cannot be trained on, without the item."""
    try:
        to_record(row)
    except ValueError as error:
        return str(error).removeprefix(f"item {row['item_id']!r}: ")
    return None


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
@pytest.mark.parametrize("make_row", [odd_row, hostile_record])
def test_one_converter_for_training_encoding_and_the_check(make, make_row):
    processor = make()
    rng = random.Random(1)
    faults = set()
    for number in range(400):
        row = {**make_row(rng, f"item {number}"), "image": PHOTO}
        row.pop("box", None)  # encoding reads no boxes
        fault = training_fault(row)
        batch = ItemRows([row], processor).__getitems__([0])
        assert [found.reason for found in batch.faults] == ([fault] if fault else [])
        assert _CheckedRow(row, processor, images=False).reasons == ([fault] if fault else [])
        if fault is None:
            assert processor.render_text(to_record(row)) == processor.render_text(row)
        faults.add(fault)
    assert len(faults) > 2


def test_kinds_of_values_that_training_accepts_are_encoded():
    row = {"item_id": 7, "image": PHOTO, "title": 3, "category": {"id": 1}, "attributes": "of clay"}
    for processor in (make_tiger_fg(), make_tgq_former()):
        batch = ItemRows([row], processor, require_item_id=True).__getitems__([0])
        assert (batch.item_ids, batch.faults) == (["7"], [])
        assert processor.render_text(row) == '3 | {"id": 1} | attributes: of clay'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"item_id": Unprintable()}, r"catalog row \(title None\): item_id cannot be read as text"),
        ({"item_id": "a", 3: "x"}, r"item 'a': the names of a record must be text, got 3 \(int\)"),
        ({"item_id": "a", "box": "[" * 50_000}, "item 'a': expected box"),
        ({"item_id": "a", "box": [0, 0, 10**400, 4]}, "item 'a': expected box"),
        ({"item_id": "a", "box": '"1234"'}, "item 'a': expected box"),
        ({"item_id": "x" * 10_000, "title": deep(3000, True)}, "^item 'x{78}…: title is nested too deeply$"),
    ],
)
def test_unusable_rows_are_named(row, message):
    with pytest.raises(ValueError, match=message):
        to_record(row)


def test_the_row_is_named_too():
    catalog = Dataset.from_dict({"item_id": ["a", None], "title": ["mug", "lamp"]})
    for read in (TextTable, lambda rows: list(CatalogRecords(rows))):
        with pytest.raises(ValueError, match="row 1: catalog row has an empty item_id"):
            read(catalog)
