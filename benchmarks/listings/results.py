"""Files of a run of the listing benchmark: what it scored, query by query, beside the settings that it belongs to."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.folder import RESULT, write_whole
from .gates import Gates

_KINDS = ("metrics", "wrong_titles")
Metrics = dict[str, np.ndarray]
"""`hit_rate@1`, `@10`, `@100` and `mrr` of every query `[Q]`, in [0, 1]."""


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        settings: everything that the result depends on.
        metrics: by level.
        wrong_titles: likewise, each query with the title of a product of another category.
        gates: by level, with `"own"` and `"mismatched"` titles; empty where the connector has no metadata gate.
        cost: `{"connector": {"parameters", "gflops"}, "item": {...}}`.
        training: `{"seconds", "steps", "pairs_per_second", "trainable"}`, the last one parameters.
        seconds_per_1k: seconds that embedding 1,000 listings took.
    """

    settings: dict[str, Any]
    metrics: dict[str, Metrics]
    wrong_titles: dict[str, Metrics]
    gates: dict[str, dict[str, Gates]]
    cost: dict[str, dict[str, float]]
    training: dict[str, float]
    seconds_per_1k: float

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """Mean metrics by level."""
        return {
            level: {name: float(values.mean()) for name, values in found.items()}
            for level, found in self.metrics.items()
        }


def save_result(folder: Path, result: Result) -> None:
    """Writes the file that marks a run as finished."""
    data = {
        "settings": result.settings,
        "summary": result.summary,
        "cost": result.cost,
        "training": result.training,
        "seconds_per_1k": result.seconds_per_1k,
        **{
            kind: {
                level: {name: _rounded(values) for name, values in found.items()}
                for level, found in getattr(result, kind).items()
            }
            for kind in _KINDS
        },
        "gates": {
            level: {
                title: {name: _rounded(values) for name, values in asdict(gates).items()}
                for title, gates in found.items()
            }
            for level, found in result.gates.items()
        },
    }
    write_whole(folder / RESULT, json.dumps(data, separators=(",", ":")))


def load_result(folder: Path) -> Result:
    """Reads what [`save_result`] wrote."""
    data = json.loads((folder / RESULT).read_text())
    metrics, wrong_titles = (
        {level: {name: np.array(values) for name, values in found.items()} for level, found in data[kind].items()}
        for kind in _KINDS
    )
    gates = {
        level: {
            title: Gates(**{name: np.array(values) for name, values in parts.items()})
            for title, parts in found.items()
        }
        for level, found in data["gates"].items()
    }
    return Result(
        data["settings"], metrics, wrong_titles, gates, data["cost"], data["training"], data["seconds_per_1k"]
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(value, 6) for value in values.tolist()]
