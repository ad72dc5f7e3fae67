import numpy as np
import pytest

from tiger_fg_hf.catalog.record import to_record


def test_every_name_of_the_schema_is_there():
    assert to_record({"item_id": 7, "price": 3}) == {
        "item_id": "7",
        "image": None,
        "title": "",
        "category": None,
        "attributes": None,
        "box": None,
        "query_image": None,
    }


def test_values_become_text():
    row = {
        "item_id": " a ",
        "title": ["Linen", None, "shirt"],
        "category": float("nan"),
        "attributes.n": np.float32(2.5),
    }
    record = to_record({**row, "box": "[0, 1, 4, 5]", "image": "a.jpg"})
    assert (record["item_id"], record["title"], record["category"]) == ("a", "Linen, shirt", None)
    assert record["attributes"] == {"n": "2.5"}
    assert record["box"] == [0.0, 1.0, 4.0, 5.0]
    assert record["image"] == "a.jpg"


def test_a_record_stays_as_it_is():
    record = to_record({"item_id": "a", "title": "Mug", "attributes": '{"color": {"main": "teal"}, "n": [1, "{x"]}'})
    assert record["attributes"] == {"color": '{"main": "teal"}', "n": "1, {x"}
    assert to_record(record) == record


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"item_id": None}, "empty item_id"),
        ({"item_id": "a", "box": [1, 2, 3]}, "item 'a': expected box"),
        ({"item_id": "a", "box": [5, 0, 5, 9]}, "x0 < x1"),
        ({"item_id": "a", "box": [0, 0, float("nan"), 9]}, "item 'a': expected box"),
        ({"item_id": "a", "box": "1,2"}, "item 'a': expected box"),
        ({"item_id": "a", "attributes": "{broken"}, "item 'a': attributes is not valid JSON"),
        ({"item_id": "a", "title": b"Mug"}, "item 'a': title must be text"),
    ],
)
def test_record_errors(row, message):
    with pytest.raises(ValueError, match=message):
        to_record(row)
