"""Files of a run of the IMMR benchmark: what it scored, beside the settings that it belongs to."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.immr_scores import GalleryScores, IMMRScores

from ..harness.folder import RESULT, write_whole

_GROUNDING = "grounding.npz"


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        settings: everything that the result depends on.
        summary: gallery -> mean of each metric.
        scores: on the run's benchmark.
        cost: `{"query": {"parameters", "gflops"}, "item": {...}}`.
        training: `{"seconds", "steps", "pairs_per_second"}`; empty for what is not trained.
    """

    settings: dict[str, Any]
    summary: dict[str, dict[str, float]]
    scores: IMMRScores
    cost: dict[str, dict[str, float]]
    training: dict[str, float]


def save_result(folder: Path, result: Result) -> None:
    """Writes `result.json`, all numbers of every query, and `grounding.npz`, the maps."""
    maps: dict[str, Any] = {
        name: scores.grounding for name, scores in result.scores.galleries.items() if scores.grounding is not None
    }
    if maps:
        partial = folder / f".partial-{_GROUNDING}"
        np.savez_compressed(partial.with_suffix(""), **maps)  # which appends .npz
        os.replace(partial, folder / _GROUNDING)
    data = {
        "settings": result.settings,
        "summary": result.summary,
        "cost": result.cost,
        "training": result.training,
        "seconds_per_1k_queries": result.scores.seconds_per_1k_queries,
        "seconds_per_1k_items": result.scores.seconds_per_1k_items,
        "galleries": {name: _gallery_to_json(scores) for name, scores in result.scores.galleries.items()},
    }
    write_whole(folder / RESULT, json.dumps(data, separators=(",", ":")))


def load_result(folder: Path) -> Result:
    data = json.loads((folder / RESULT).read_text())
    maps = np.load(folder / _GROUNDING) if (folder / _GROUNDING).is_file() else {}
    galleries = {name: _gallery_from_json(found, maps.get(name)) for name, found in data["galleries"].items()}
    scores = IMMRScores(galleries, data["seconds_per_1k_queries"], data["seconds_per_1k_items"])
    return Result(data["settings"], data["summary"], scores, data["cost"], data["training"])


def _gallery_to_json(scores: GalleryScores) -> dict[str, Any]:
    """Arrays as lists; of `tied` only what is not 1, by query."""
    ranks = {
        view: {
            "above": above.tolist(),
            "tied": {str(row): int(scores.tied[view][row]) for row in np.flatnonzero(scores.tied[view] != 1)},
        }
        for view, above in scores.above.items()
    }
    found: dict[str, Any] = {"ranks": ranks, "best": scores.best.tolist()}
    for name in ("pointing", "mass"):
        values = getattr(scores, name)
        if values is not None:
            found[name] = [None if np.isnan(value) else round(value, 5) for value in values.tolist()]
            found[f"{name}_chance"] = getattr(scores, f"{name}_chance")
    return found


def _gallery_from_json(found: Mapping[str, Any], grounding: np.ndarray | None) -> GalleryScores:
    above, tied = {}, {}
    for view, ranks in found["ranks"].items():
        above[view] = np.array(ranks["above"], np.int64)
        tied[view] = np.ones_like(above[view])
        for row, value in ranks["tied"].items():
            tied[view][int(row)] = value
    measured: dict[str, Any] = {}
    for name in ("pointing", "mass"):
        if name in found:
            measured[name] = np.array(found[name], np.float64)  # None becomes NaN
            measured[f"{name}_chance"] = found[f"{name}_chance"]
    return GalleryScores(above, tied, np.array(found["best"]), grounding, **measured)
