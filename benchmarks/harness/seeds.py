"""Which seeds of several systems can be compared: those that every one of them has run."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self, TypeVar


class Seeded(Protocol):
    """What a system scored, by seed."""

    by_seed: Mapping[int, Any]

    def of_seeds(self, seeds: Iterable[int]) -> Self:
        """The same of some seeds."""


Found = TypeVar("Found", bound=Seeded)


def common_seeds(systems: Iterable[Seeded]) -> list[int]:
    """Seeds that each of some systems, at least one, has run."""
    return sorted(set.intersection(*(set(found.by_seed) for found in systems)))


def comparable(systems: Mapping[str, Found]) -> tuple[dict[str, Found], str]:
    """Systems of the seeds that they share, and a sentence where that leaves some out; as they are where none is."""
    seeds = common_seeds(systems.values())
    if not seeds:
        return dict(systems), "No seed that all of these have run."
    left_out = any(len(found.by_seed) > len(seeds) for found in systems.values())
    note = f"Of the seeds that all of these have run: {seeds_text(seeds)}." if left_out else ""
    return {name: found.of_seeds(seeds) for name, found in systems.items()}, note


def seeds_text(seeds: Iterable[int]) -> str:
    """As `"0, 1"`."""
    return ", ".join(map(str, seeds))
