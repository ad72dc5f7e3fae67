"""The text table holds the catalog's records, and the texts that it draws for a row never fit the row."""

import datasets
import numpy as np
import pytest

from tiger_fg_hf.catalog.pairing import pair_queries
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.text_table import TextTable


def make_catalog(**columns) -> datasets.Dataset:
    data = {
        "item_id": ["a", "b", "c", "a", "e", "f"],
        "image": [{"bytes": bytes([i]), "path": None} for i in range(6)],
        "title": ["hat", "shoe", "hat", "cap", "", "bag"],
        "category": ["hats", "shoes", "scarves", "caps", None, None],
        "attributes": ['{"color": "ä"}', None, None, None, None, None],
        "box": [[1.5, 2, 3, 4], None, None, None, None, None],
    }
    return load_catalog(datasets.Dataset.from_dict({**data, **columns}))


def test_records_are_those_of_the_catalog():
    catalog = make_catalog()
    table = TextTable(catalog)
    assert len(table) == 6
    for row in range(6):
        record = to_record(catalog[row])
        assert table[row] == {name: record[name] for name in ("item_id", "title", "category", "attributes", "box")}
    assert table.categories == ["hats", "shoes", "scarves", "caps", None, None]
    assert table.items[0] == table.items[3]
    assert len(set(table.items.tolist())) == 5


def test_joined_queries_have_the_records_of_their_listings():
    catalog = make_catalog()
    queries = catalog.select([5, 1, 1]).select_columns(["item_id", "image"])
    table = TextTable(pair_queries(queries, catalog))
    assert [table[row]["title"] for row in range(3)] == ["bag", "shoe", "shoe"]
    assert table.categories == [None, "shoes", "shoes"]


def test_draws_are_of_other_categories_items_and_titles():
    table = TextTable(make_catalog())
    rng = np.random.default_rng(0)
    drawn = {row: set(table.draw_others(row, 200, rng)) for row in range(6)}
    # Row 3 is the item of row 0, and row 2 has its title; rows without a category are never drawn for others.
    assert drawn[0] == {1}
    assert drawn[1] == {0, 2, 3}
    assert drawn[2] == {1, 3}
    assert drawn[3] == {1, 2}
    # For a row without a category, any row with a title.
    assert drawn[4] == {0, 1, 2, 3, 5}
    assert drawn[5] == {0, 1, 2, 3}


def test_draws_are_spread_evenly():
    count = 40
    catalog = make_catalog(
        item_id=[f"i{row}" for row in range(count)],
        image=[{"bytes": b"x", "path": None}] * count,
        title=[f"t{row}" for row in range(count)],
        category=[f"c{row % 4}" for row in range(count)],
        attributes=[None] * count,
        box=[None] * count,
    )
    drawn = np.bincount(TextTable(catalog).draw_others(6, 9000, np.random.default_rng(0)), minlength=count)
    others = np.arange(count) % 4 != 2
    assert (drawn[~others] == 0).all()
    assert (np.abs(drawn[others] - 300) < 90).all()


def test_rows_without_others_are_named():
    table = TextTable(make_catalog(category=["hats"] * 4 + [None] * 2))
    with pytest.raises(ValueError, match=r"row 1 \(item 'b'\): no text of another"):
        table.draw_others(1, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="item 'b': expected box"):
        TextTable(make_catalog(box=[None, [3, 3, 1, 1], None, None, None, None]))
