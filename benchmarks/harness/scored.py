"""Scores of a system over its seeds, with intervals and paired differences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval, bootstrap_interval, paired_bootstrap


class Scored:
    """Results of a system by seed. With several seeds, every value is the mean of a query over them.

    Attributes:
        parts: parts of the benchmark that are scored separately.
        metrics: metric -> label in tables.
        main: the metric of charts, differences and learning-rate grids.

    Args:
        ids: `[Q]` product of each query; the bootstrap resamples products.
        by_seed: results by training seed.
        benchmark: the benchmark that was scored.
    """

    parts: ClassVar[Sequence[str]]
    metrics: ClassVar[Mapping[str, str]]
    main: ClassVar[str]

    def __init__(self, ids: Sequence[str], by_seed: Mapping[int, Any], benchmark: Any = None):
        self.ids, self.by_seed, self.benchmark = list(ids), dict(by_seed), benchmark

    def per_query(self, result: Any, part: str, metric: str, view: str) -> np.ndarray:
        """Return `[Q]` scores of one result in [0, 1]; `view` selects what queries or items were given."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """Return the figures of `results.json` that only this benchmark has."""
        return {}

    def more_figures(self) -> list[dict[str, Any]]:
        """Return the rows of a record besides the metrics; see `record.py`."""
        return []

    @property
    def results(self) -> list[Any]:
        """Results of all seeds."""
        return list(self.by_seed.values())

    def of_seeds(self, seeds: Iterable[int]) -> Self:
        """Restrict to some seeds."""
        return type(self)(self.ids, {seed: self.by_seed[seed] for seed in seeds}, self.benchmark)

    def values(self, part: str, metric: str | None = None, view: str = "own") -> np.ndarray:
        """Return `[Q]` scores in percent, averaged over seeds; the main metric by default."""
        scores = [self.per_query(result, part, metric or self.main, view) for result in self.results]
        return 100 * np.mean(scores, axis=0)

    def interval(self, part: str, metric: str | None = None, view: str = "own") -> BootstrapInterval:
        """Return the mean in percent with its bootstrap interval."""
        return bootstrap_interval(self.values(part, metric, view), groups=self.ids)

    def minus(self, other: "Scored", part: str, metric: str | None = None) -> dict[str, float | None]:
        """Return the paired difference in points, and `"relative"` in percent of the other's mean (None if 0)."""
        assert self.by_seed.keys() == other.by_seed.keys()
        theirs = other.values(part, metric)
        paired = paired_bootstrap(self.values(part, metric), theirs, groups=self.ids)
        return {**paired._asdict(), "relative": 100 * paired.difference / theirs.mean() if theirs.mean() else None}


AnyScored = TypeVar("AnyScored", bound=Scored)


def common_seeds(systems: Iterable[Scored]) -> list[int]:
    """Return the seeds that all of `systems` have run; expects at least one system."""
    return sorted(set.intersection(*(set(scored.by_seed) for scored in systems)))


def comparable(systems: Mapping[str, AnyScored]) -> tuple[dict[str, AnyScored], str]:
    """Restrict systems to the seeds that all have run; also return a sentence, empty if no seed is left out."""
    seeds = common_seeds(systems.values())
    if not seeds:
        return dict(systems), "No seed has been run by all of these systems."
    left_out = any(len(scored.by_seed) > len(seeds) for scored in systems.values())
    note = f"Only the seeds that all of these systems have run: {seeds_text(seeds)}." if left_out else ""
    return {name: scored.of_seeds(seeds) for name, scored in systems.items()}, note


def seeds_text(seeds: Iterable[int]) -> str:
    """Join seeds, as in `"0, 1"`."""
    return ", ".join(map(str, seeds))


def paired_numbers(systems: Mapping[str, Scored], ours: str) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Compare one system with every other: `"ours - other"` -> part -> metric -> difference.

    Uses the seeds that both have run. Skips a system that shares no seed.
    """
    numbers = {}
    for name, scored in systems.items():
        if name != ours and ours in systems and (seeds := common_seeds([systems[ours], scored])):
            first, second = systems[ours].of_seeds(seeds), scored.of_seeds(seeds)
            numbers[f"{ours} - {name}"] = {
                part: {metric: first.minus(second, part, metric) for metric in first.metrics} for part in first.parts
            }
    return numbers


def system_numbers(scored: Scored) -> dict[str, Any]:
    """Return all figures of a system, as in `results.json`."""
    return {
        "metrics": {
            part: {metric: scored.interval(part, metric)._asdict() for metric in scored.metrics}
            for part in scored.parts
        },
        **scored.numbers(),
        "cost": scored.results[0].cost,
        "runs": [
            {
                "seed": seed,
                "rate": result.settings.get("rate"),
                "summary": result.summary,
                "training": result.training,
            }
            for seed, result in scored.by_seed.items()
        ],
    }
