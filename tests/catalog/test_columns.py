import pytest

from tiger_fg_hf.catalog.columns import check_found, parse_columns, plan_columns


def test_parse_columns():
    assert parse_columns("attributes=color+keywords, title=name") == {
        "attributes": ["color", "keywords"],
        "title": "name",
    }
    assert parse_columns("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title", "expected 'name=column'"),
        ("title=", "expected 'name=column'"),
        ("attributes=a+", "expected 'name=column'"),
        ("name=title", "'name' is not in the schema"),
        ("title=a+b", "'title' takes one source column"),
        ("title=a,title=b", "given twice"),
    ],
)
def test_parse_columns_errors(text, message):
    with pytest.raises(ValueError, match=message):
        parse_columns(text)


def test_planned_columns_follow_the_schema_and_keep_attributes_apart():
    found = ["item_id", "photo", "category", "attributes", "attributes.size", "color", "name"]
    assert plan_columns({}, found) == {
        "item_id": "item_id",
        "category": "category",
        "attributes": "attributes",
        "attributes.size": "attributes.size",
    }
    assert plan_columns({"image": "photo", "title": "name", "attributes": ["attributes", "color"]}, found) == {
        "item_id": "item_id",
        "image": "photo",
        "title": "name",
        "category": "category",
        "attributes.attributes": "attributes",
        "attributes.color": "color",
    }


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"item_id": "sku", "image": "image"}, "catalog items.csv: no column 'sku' for 'item_id', found id, image"),
        ({"image": "image"}, "no column 'item_id', found id, image; name the column with"),
        ({"item_id": "id"}, "no column 'image' or 'query_image'"),
    ],
)
def test_missing_columns_are_named(mapping, message):
    with pytest.raises(ValueError, match=message):
        check_found(mapping, {}, ["id", "image"], "items.csv")
