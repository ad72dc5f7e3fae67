"""A record renders to the same text on every path."""

import random

import datasets
import numpy as np
import pytest
from processor_cases import make_tgq_former, make_tiger_fg, make_word_tokenizer, odd_row

from tiger_fg_hf import load_catalog
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.models.record_text import RecordTemplate, exceeds_length, fold_attributes, map_columns
from tiger_fg_hf.models.value_text import value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (np.float32("nan"), ""),
        ("  red ", "red"),
        (3, "3"),
        (2.5, "2.5"),
        (True, "True"),
        ([], ""),
        (["red", "", None, ("a", 1)], "red, a, 1"),
        ({"b", "a", "c"}, "a, b, c"),
        ({"farbe": "grün", "size": None}, '{"farbe": "grün", "size": null}'),
    ],
)
def test_value_text(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize("value", [b"red", ["red", bytearray(b"x")]])
def test_bytes_are_no_text(value):
    with pytest.raises(ValueError, match="title must be text, a number, a list or a mapping, got byte"):
        value_text(value, "title")


@pytest.mark.parametrize(
    ("row", "attributes"),
    [
        ({"attributes": {"color": "teal", "size": None}}, {"color": "teal"}),
        ({"attributes": '{"color": "teal", "sizes": ["S", null, 4]}'}, {"color": "teal", "sizes": "S, 4"}),
        ({"attributes.attributes": ' {"color": "teal"}', "attributes.use": "tea"}, {"color": "teal", "use": "tea"}),
        ({"attributes": "made of wool"}, {"attributes": "made of wool"}),
        ({"attributes.note": "made of wool"}, {"note": "made of wool"}),
        ({"attributes": ["red", "blue"]}, {"attributes": "red, blue"}),
        ({"attributes.color": "red", "attributes": {"color": "teal"}}, {"color": "red"}),
        ({"attributes": {"color": "teal"}, "attributes.color": ""}, {"color": "teal"}),
        ({"attributes": {"size": {"w": 3}}}, {"size": '{"w": 3}'}),
        ({"attributes": {3: 4}}, {"3": "4"}),
        ({"title": "Mug", "color": "red", "attributes": ""}, None),
        ({}, None),
    ],
)
def test_fold_attributes(row, attributes):
    assert fold_attributes(row) == attributes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"attributes": "{broken"}, "attributes is not valid JSON"),
        ({"attributes.a": '{"x": 1'}, "attributes.a is not valid JSON"),
        ({"attributes": {"a": b"x"}}, r"attributes\['a'\] must be text"),
        ({"attributes.a": b"x"}, "attributes.a must be text"),
    ],
)
def test_unusable_attributes_are_named(row, message):
    with pytest.raises(ValueError, match=message):
        fold_attributes(row)


def test_a_catalog_with_json_attributes_is_indexed_as_it_was_trained():
    source = datasets.Dataset.from_list(
        [
            {
                "item_id": "a",
                "image": b"",
                "title": "mug",
                "attributes": '{"color": "teal"}',
                "description": "for tea",
            },
            {"item_id": "b", "image": b"", "title": "lamp", "attributes": None, "description": None},
        ]
    )
    rows = load_catalog(source, columns="attributes=attributes+description")
    for processor in (make_tiger_fg(), make_tgq_former()):
        texts = [processor.render_text(row) for row in rows]
        assert texts == ["mug | color: teal, description: for tea", "lamp"]
        assert texts == [processor.render_text(to_record(row)) for row in rows]


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
def test_every_row_and_its_record_read_alike(make):
    processors = [make(), make(keep_html=True), make(columns={"title": "name", "attributes": ["attributes", "color"]})]
    rng = random.Random(0)
    refused = texts = 0
    for number in range(3_000):
        row = odd_row(rng, f"item {number}")
        try:
            record = to_record(row)
        except ValueError:  # text that starts like JSON
            refused += 1
            for processor in processors:
                with pytest.raises(ValueError, match="not valid JSON"):
                    processor.render_text(row)
            continue
        for processor in processors:
            text = processor.render_text(row)
            assert text == processor.render_text(record), row
            assert text == processor.render_text({name: value for name, value in record.items() if value is not None})
            texts += bool(text)
    assert refused > 0
    assert texts > 3_000


def test_plain_text_attributes_are_accepted_by_processors():
    for processor in (make_tiger_fg(), make_tgq_former()):
        assert (
            processor.render_text({"title": "mug", "attributes": "made of wool"}) == "mug | attributes: made of wool"
        )


COLUMNS = {"title": "name", "category": "kind", "image": "photo", "attributes": ["attributes", "color"]}


@pytest.mark.parametrize(
    ("row", "mapped"),
    [
        ({"name": "mug", "kind": "cups", "photo": "a.jpg"}, {"title": "mug", "category": "cups", "image": "a.jpg"}),
        ({"name": "mug", "title": "not this"}, {"title": "mug"}),
        ({"title": "", "attributes.color": "red"}, {"title": "", "attributes.color": "red"}),
        ({"color": "red"}, {"attributes.color": "red"}),
        ({"attributes": '{"a": 1}', "color": "red"}, {"attributes.attributes": '{"a": 1}', "attributes.color": "red"}),
        ({"attributes.size": "L", "color": "red"}, {"attributes.color": "red"}),
        ({"title": "mug"}, {"title": "mug"}),
    ],
)
def test_map_columns(row, mapped):
    found = map_columns(row, COLUMNS)
    assert {name: value for name, value in found.items() if name not in ("name", "kind", "photo", "color")} == mapped
    assert map_columns(found, COLUMNS) == found
    assert map_columns(row, None) is row


def test_attributes_of_a_record_are_kept():
    record = {"title": "mug", "attributes": {"a": "b"}}
    assert map_columns(record, {"attributes": ["color"], "title": "name"}) is record


@pytest.mark.parametrize(
    "columns", [{"title": "name"}, {"attributes": ["color"]}, {"attributes": ["attributes", "color"]}, {}]
)
def test_a_raw_row_with_both_names_is_rendered_as_the_mapped_catalog(columns):
    """The mapping wins over columns of the source that happen to have the name of the schema."""
    row = {"item_id": "a", "image": b"", "attributes.size": "L", "attributes": {"x": "1", "size": "S"}}
    source = datasets.Dataset.from_list([row | {"title": "SEO title", "name": "mug", "color": "red"}])
    (loaded,) = load_catalog(source, columns=columns)
    processor = make_tiger_fg(columns=columns)
    assert processor.render_text(source[0]) == processor.render_text(loaded)
    mapped = map_columns(source[0], columns)
    assert map_columns(mapped, columns) == mapped


def test_raw_rows_are_rendered_as_rows_of_the_mapped_catalog():
    source = datasets.Dataset.from_list(
        [{"item_id": "a", "photo": b"", "name": "mug", "attributes": '{"use": "tea"}', "color": "red", "stock": 3}]
    )
    columns = {"title": "name", "image": "photo", "attributes": ["attributes", "color"]}
    (loaded,) = load_catalog(source, columns=columns)
    for make in (make_tiger_fg, make_tgq_former):
        processor = make(columns=columns)
        texts = {processor.render_text(row) for row in (source[0], loaded, to_record(loaded))}
        assert texts == {"mug | use: tea, color: red"}


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
def test_records_without_a_known_field_are_refused(make):
    processor = make()
    message = "no field of the text template .attributes, category, title., only 'name', 'item_id'; rename its fields"
    with pytest.raises(ValueError, match=r"text\[1\]: the record has " + message):
        processor(text=["mug", {"name": "mug", "item_id": "a"}])
    for record in (
        None,
        "",
        {},
        {"title": None},
        {"item_id": "a", "image": "a.jpg", "box": None},
        {"title": "", "x": 1},
    ):
        assert processor.render_text(record) == ""
    assert processor.render_text({"name": "mug", "attributes.color": "red"}) == "color: red"
    brand = make(text_template=["{brand}"])
    assert brand.render_text({"brand": "Acme"}) == "Acme"
    with pytest.raises(ValueError, match="no field of the text template"):
        brand.render_text({"title": "mug", "price": 3})


def test_html_is_removed_unless_it_is_kept():
    record = {"title": "Tom &amp; Jerry <b>mug</b>", "attributes": {"use": "tea<br>soup"}}
    assert make_tiger_fg().render_text(record) == "Tom & Jerry mug | use: tea soup"
    kept = make_tiger_fg(keep_html=True)
    assert kept.render_text(record) == "Tom &amp; Jerry <b>mug</b> | use: tea<br>soup"


def test_options_set_later_count():
    processor = make_tiger_fg()
    processor.columns, processor.text_template = {"title": "name"}, ["a {title}"]
    assert processor.render_text({"name": "mug"}) == "a mug"


def test_unusable_column_mappings_are_refused():
    with pytest.raises(ValueError, match="'name' is not in the schema"):
        make_tiger_fg(columns={"name": "title"})
    with pytest.raises(ValueError, match="'title' takes one source column"):
        make_tgq_former(columns={"title": ["a", "b"]})


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
def test_columns_and_html_option_are_saved(make, tmp_path):
    processor = make(columns={"title": "name", "attributes": ("a", "b")}, keep_html=True)
    processor.save_pretrained(tmp_path)
    loaded = type(processor).from_pretrained(tmp_path)
    assert loaded.columns == processor.columns == {"title": "name", "attributes": ["a", "b"]}
    assert loaded.keep_html
    assert make().columns is None


def test_cut_texts_are_counted():
    tokenizer = make_word_tokenizer()
    assert exceeds_length(tokenizer, ["red mug", "red mug lamp", ""], 2) == [False, True, False]
    assert exceeds_length(tokenizer, [], 2) == []
    records = ["red", {"title": "red mug"}, {"title": "red mug lamp"}, None]
    assert make_tiger_fg(max_length=2).count_cut(records) == 1
    assert make_tgq_former(max_length=9, max_title_length=1).count_cut(records) == 2
    assert make_tgq_former(max_length=3, instruction="find ").count_cut(records) == 1
    assert make_tiger_fg(make_word_tokenizer(model_max_length=1)).count_cut({"title": "red mug"}) == 1


def test_templates_are_checked():
    with pytest.raises(ValueError, match="list of segments"):
        RecordTemplate("{title}")
