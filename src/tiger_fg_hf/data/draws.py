"""Settings of random draws: probabilities and ranges, and the bounds that they must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_type_hints

#: Bounds `(low, high)` of a uniform draw.
Range = tuple[float, float]


@dataclass(frozen=True)
class DrawConfig:
    """Base of dataclasses whose settings control random draws; checks them when an object is created.

    A field that ends in `_probability` must be in [0, 1], and a `Range` must be `(low, high)`. A number, or both ends
    of a range, must lie in the interval that the field's type is annotated with, as in `Annotated[Range, "(0, 1]"]`,
    where a parenthesis excludes the end.

    Raises:
        ValueError: If a setting is out of bounds; the message names it.
    """

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            value, (bounds,) = getattr(self, name), getattr(kind, "__metadata__", ("",))
            if isinstance(value, tuple | list):
                if len(value) != 2 or value[0] > value[1]:
                    raise ValueError(f"{name}: expected a range (low, high), found {value}")
                if bounds and not all(_within(end, bounds) for end in value):
                    raise ValueError(f"{name}: expected a range within {bounds}, found {value}")
            elif name.endswith("_probability"):
                if not 0 <= value <= 1:
                    raise ValueError(f"{name}: expected a probability in [0, 1], found {value}")
            elif bounds and not _within(value, bounds):
                raise ValueError(f"{name}: expected a number in {bounds}, found {value}")


def _within(value: float, bounds: str) -> bool:
    low, high = map(float, bounds[1:-1].split(","))
    above = value > low if bounds[0] == "(" else value >= low
    below = value < high if bounds[-1] == ")" else value <= high
    return above and below
