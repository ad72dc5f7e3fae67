"""Results of the listings benchmark: metrics and gates of every query."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.results import Result
from .gates import Gates

_KINDS = ("metrics", "wrong_titles")
Metrics = dict[str, np.ndarray]
"""`hit_rate@1`, `@10`, `@100` and `mrr` of every query `[Q]`, in [0, 1]."""


@dataclass(frozen=True)
class ListingsResult(Result):
    """Result of one run.

    Attributes:
        metrics: level of overlays -> metrics.
        wrong_titles: the same for queries with the title of a product of another category.
        gates: level -> `"own"` and `"mismatched"` titles -> gates; empty if the connector has no metadata gate.
        seconds_per_1k: seconds to embed 1,000 listings.
    """

    metrics: dict[str, Metrics]
    wrong_titles: dict[str, Metrics]
    gates: dict[str, dict[str, Gates]]
    seconds_per_1k: float

    def payload(self) -> dict[str, Any]:
        """Return the scores as JSON."""
        return {
            "seconds_per_1k": self.seconds_per_1k,
            **{kind: {level: _rounded(metrics) for level, metrics in getattr(self, kind).items()} for kind in _KINDS},
            "gates": {
                level: {title: _rounded(asdict(gates)) for title, gates in titles.items()}
                for level, titles in self.gates.items()
            },
        }

    @classmethod
    def restore(cls, data: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Read the scores back."""
        return {
            "seconds_per_1k": data["seconds_per_1k"],
            **{kind: {level: _arrays(metrics) for level, metrics in data[kind].items()} for kind in _KINDS},
            "gates": {
                level: {title: Gates(**_arrays(gates)) for title, gates in titles.items()}
                for level, titles in data["gates"].items()
            },
        }


def _rounded(arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: [round(value, 6) for value in values.tolist()] for name, values in arrays.items()}


def _arrays(lists: dict[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in lists.items()}
