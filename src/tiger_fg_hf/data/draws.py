"""Checks of settings that random draws are made by."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

Range = tuple[float, float]


def check_draws(config: Any) -> None:
    """Check a dataclass of settings to draw by: probabilities by their names, ranges by their types.

    Raises:
        ValueError: if one is out of bounds, naming it.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name.endswith("_probability") and not 0 <= value <= 1:
            raise ValueError(f"{field.name}: expected a probability in [0, 1], found {value}")
        if isinstance(value, tuple | list) and (len(value) != 2 or value[0] > value[1]):
            raise ValueError(f"{field.name}: expected a range (low, high), found {value}")
