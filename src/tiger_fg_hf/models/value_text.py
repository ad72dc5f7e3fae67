"""Values of records as text."""

import json
from collections.abc import Mapping
from numbers import Number
from typing import Any

_LIST_SEPARATOR = ", "
_SHOWN = 80


def value_text(value: Any, name: str = "value") -> str:
    """Return a value of a record as text, without surrounding white space.

    `None` and NaN give `""`. Lists are joined by `", "` without their empty elements, a mapping becomes JSON text, and
    anything else is converted by `str`.

    Args:
        value: Any value of a record.
        name: The value's name in error messages.

    Raises:
        ValueError: If the value is, or holds, bytes, or cannot be converted, such as a list that is nested too deeply;
            the message names it.

    Example:
        >>> value_text(["red", None, 2.5]), value_text(float("nan")), value_text({"width": 3})
        ('red, 2.5', '', '{"width": 3}')
    """
    try:
        return _text(value, name)
    except _BytesError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except Exception as error:
        raise ValueError(f"{name} cannot be read as text ({type(error).__name__}: {error})") from error


def shown(value: Any) -> str:
    """Return the `repr` of a value for an error message, cut after 80 characters.

    Example:
        >>> shown("mug"), len(shown("mug" * 1000))
        ("'mug'", 80)
    """
    try:
        text = repr(value)
    except Exception:
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class _BytesError(Exception):
    """A value is, or holds, bytes."""


def _text(value: Any, name: str) -> str:
    if value is None or (isinstance(value, Number) and _is_nan(value)):
        return ""
    _check_no_bytes(value, name)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # the order of a set differs between processes
    if isinstance(value, list | tuple):
        return _LIST_SEPARATOR.join(filter(None, (_text(element, name) for element in value)))
    if isinstance(value, Mapping):
        return json.dumps(_with_json_keys(dict(value), name), ensure_ascii=False, default=str)
    return str(value).strip()


def _is_nan(number: Any) -> bool:
    # The comparison of a signaling NaN of `decimal` raises an error.
    is_nan = getattr(number, "is_nan", None)
    return is_nan() if is_nan is not None else number != number


def _check_no_bytes(value: Any, name: str) -> None:
    if isinstance(value, bytes | bytearray | memoryview):
        raise _BytesError(f"{name} must be text, a number, a list or a mapping, got {type(value).__name__}")


def _with_json_keys(value: Any, name: str) -> Any:
    """Convert the keys that JSON does not have, such as tuples, to text, and sets to lists."""
    _check_no_bytes(value, name)
    if isinstance(value, dict):
        return {
            key if key is None or isinstance(key, str | int | float) else str(key): _with_json_keys(element, name)
            for key, element in value.items()
        }
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    return [_with_json_keys(element, name) for element in value] if isinstance(value, list | tuple) else value
