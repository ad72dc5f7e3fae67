"""Odd records: seeded ones of every kind that sources hold, and records made by hand to cost time or break."""

import datetime
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from processor_cases import odd_row

_NAMES = ("title", "category", "attributes", "attributes.color", "item_id", "image", "box", "other", "", "{title}")
_ODD_NAMES: tuple[Any, ...] = (None, 0, 2.5, float("nan"), True, ("a", 1), b"title", "\ud800")
_FRAGMENTS = (
    *("red ", "mug", "[SEP]", "<|endoftext|>", "<pad>", "＜pad＞", "<b>", "</", "&amp;", "&#x110000;", "&#", "{", "}"),
    *(
        "\0",
        "\ud800",
        "\udfff",
        "\ufeff",
        "\u202e",
        "a\u0301\u0323",
        "각",
        "ﷺ",
        "👩‍👩‍👧",
        "%s",
        "\\",
        '"',
        "'",
        "\n",
        " ",
    ),
)


class Unprintable:
    """Raises wherever it is read."""

    def __str__(self) -> str:
        raise RuntimeError("this object has no text")

    __repr__ = __str__


def odd_record(seed: int, number: int) -> Any:
    """Return the record of a number."""
    rng = random.Random(f"record {seed} {number}")
    if rng.random() < 0.3:
        return odd_row(rng, f"item {number}")
    if rng.random() < 0.1:
        return _value(rng, 0)
    names = [rng.choice(_ODD_NAMES if rng.random() < 0.1 else _NAMES) for _ in range(rng.randrange(5))]
    return {name: _value(rng, 0) for name in names}


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(12 if depth < 4 else 8)
    if kind < 4:
        return "".join(rng.choice(_FRAGMENTS) for _ in range(rng.choice((0, 1, 3, 10, 200))))
    if kind < 8:
        return rng.choice(_SCALARS)
    if kind < 10:
        return rng.choice((list, tuple))(_value(rng, depth + 1) for _ in range(rng.randrange(4)))
    odd = rng.random() < 0.2
    return {rng.choice(_ODD_NAMES if odd else _NAMES): _value(rng, depth + 1) for _ in range(rng.randrange(4))}


_SCALARS: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        10**30,
        2.5,
        float("nan"),
        float("inf"),
        1j,
        Decimal("1.50"),
        Decimal("NaN"),
        Decimal("sNaN"),
    ),
    *(b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), {"a", 1, None}, frozenset("ab"), range(3), object, ...),
    *(np.float32("nan"), np.int64(3), np.array([1.5, 2.5]), np.array("text"), np.datetime64("NaT"), np.str_("red")),
    *(datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(days=1)),
    *("[1, 2", '{"a": ', '{"a": NaN}', '{"a": 1e999}', "{not json}", '{"a": "\\ud800"}', Unprintable()),
)


def _nested(depth: int, kind: str) -> Any:
    value: Any = "red"
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def _endless(kind: type) -> Any:
    value = kind()
    if isinstance(value, list):
        value.append(value)
    else:
        value["a"] = value
    return value


class _Bottomless(Mapping):
    """A mapping that says it has one entry and raises when it is read."""

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self):
        return iter(("title",))

    def __len__(self) -> int:
        return 1


HANDMADE: dict[str, Callable[[], Any]] = {
    "plain": lambda: {"title": "red mug", "attributes": {"color": "red"}},
    "none": lambda: None,
    "list": lambda: ["red", "mug"],
    "number": lambda: 7,
    "combining_marks": lambda: {"title": "a" + "\u0301\u0323" * 100_000},
    "title_of_10_mb": lambda: {"title": "red mug " * 1_300_000},
    "title_of_10_mb_without_spaces": lambda: {"title": "m" * 10_000_000},
    "wide_ligatures": lambda: {"title": "ﷺ" * 1_000_000},
    "open_tags": lambda: {"title": "<" * 200_000},
    "open_comments": lambda: {"title": "<!--" * 100_000},
    "open_entities": lambda: {"title": "&" * 200_000},
    "half_tags": lambda: {"title": "<a b='" * 100_000},
    "half_json": lambda: {"attributes": '{"a":' * 100_000},
    "nested_json": lambda: {"attributes": '{"a":' * 5_000 + "1" + "}" * 5_000},
    "nested_list": lambda: {"title": _nested(5_000, "list")},
    "nested_dict": lambda: {"attributes": _nested(5_000, "dict")},
    "endless_list": lambda: {"title": _endless(list)},
    "endless_dict": lambda: {"attributes": {"a": _endless(dict)}},
    "many_attributes": lambda: {"attributes": {f"a{number}": "red" for number in range(200_000)}},
    "long_number": lambda: {"title": 10**5_000},
    "long_number_in_json": lambda: {"attributes": '{"a": ' + "9" * 5_000 + "}"},
    "signaling_nan": lambda: {"title": Decimal("sNaN")},
    "number_as_name": lambda: {"title": "red", 7: "mug"},
    "name_that_is_no_text": lambda: {"title": "red", Unprintable(): "mug"},
    "unprintable": lambda: {"title": Unprintable()},
    "bottomless": _Bottomless,
    "special_tokens": lambda: {"title": "red [SEP] mug <|endoftext|>", "attributes": {"[SEP]": "<pad>"}},
}
"""Records made by hand, by name."""


def record(seed: int, name: str) -> Any:
    """Return the record of a case: a number, or the name of a handmade one."""
    return odd_record(seed, int(name)) if name.isdigit() else HANDMADE[name]()
