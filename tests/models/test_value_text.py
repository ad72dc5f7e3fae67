import random
from decimal import Decimal

import pytest
from odd_records import Unprintable, circular, deep, hostile_record
from processor_cases import make_tgq_former, make_tiger_fg

from tiger_fg_hf.models.record_text import fold_attributes
from tiger_fg_hf.models.value_text import shown, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("sNaN"), ""),
        (Decimal("NaN"), ""),
        (Decimal("1.50"), "1.50"),
        ({(1, 2): {3: {"b", "a"}}}, '{"(1, 2)": {"3": ["a", "b"]}}'),
        ({None: 1, True: 2, 2.5: [()]}, '{"null": 1, "true": 2, "2.5": [[]]}'),
    ],
)
def test_odd_values_have_a_text(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (deep(3000, True), "title is nested too deeply"),
        (deep(3000, False), "title is nested too deeply"),
        (circular(), "title is nested too deeply"),
        ([10**5000], "title cannot be read as text .ValueError: Exceeds the limit"),
        ({"a": [Unprintable()]}, "title cannot be read as text .RuntimeError: no text"),
        ({"a": {"b": b"x"}}, "title must be text, a number, a list or a mapping, got bytes"),
    ],
)
def test_values_without_text_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        value_text(value, "title")


def test_json_that_cannot_be_parsed_is_named():
    for text in ('{"a":' * 50_000, '{"a": 1' + "0" * 5000 + "}"):
        with pytest.raises(ValueError, match=r"attributes\.a is not valid JSON"):
            fold_attributes({"attributes.a": text})


def test_shown_is_short():
    assert shown(Unprintable()) == "a value of type Unprintable"
    assert len(shown("x" * 10_000_000)) == 80


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
@pytest.mark.parametrize("columns", [None, {"title": "name", "attributes": ["color"]}])
def test_processors_name_every_record_that_they_refuse(make, columns):
    processor = make(columns=columns)
    rng = random.Random(0)
    reasons = []
    for number in range(600):
        try:
            processor(text=["red mug", hostile_record(rng, f"item {number}")])
        except ValueError as error:
            reasons.append(str(error))
    assert 100 < len(reasons) < 500
    for reason in reasons:
        assert reason.startswith(("text[1]: ", "item 1 has neither image nor text"))
