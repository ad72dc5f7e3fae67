"""Results of the IMMR benchmark: ranks and grounding of every query and item."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.immr_scores import GalleryScores, IMMRScores

from ..harness.results import Result

_GROUNDING = "grounding.npz"
_MEASURES = ("pointing", "mass", "extent")


@dataclass(frozen=True)
class IMMRResult(Result):
    """Result of one run.

    Attributes:
        scores: ranks and grounding on the benchmark of the run.
    """

    scores: IMMRScores

    def save(self, folder: Path) -> None:
        """Write `grounding.npz` with the maps, then `result.json`."""
        maps: dict[str, Any] = {
            name: scores.grounding for name, scores in self.scores.galleries.items() if scores.grounding is not None
        }
        if maps:
            partial = folder / f".partial-{_GROUNDING}"
            np.savez_compressed(partial.with_suffix(""), **maps)  # appends .npz
            os.replace(partial, folder / _GROUNDING)
        super().save(folder)

    def payload(self) -> dict[str, Any]:
        """Return the scores as JSON, without the maps."""
        return {
            "seconds_per_1k_queries": self.scores.seconds_per_1k_queries,
            "seconds_per_1k_items": self.scores.seconds_per_1k_items,
            "galleries": {name: _gallery_to_json(scores) for name, scores in self.scores.galleries.items()},
        }

    @classmethod
    def restore(cls, data: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Read the scores back, with the maps."""
        maps = np.load(folder / _GROUNDING) if (folder / _GROUNDING).is_file() else {}
        galleries = {name: _gallery_from_json(part, maps.get(name)) for name, part in data["galleries"].items()}
        return {"scores": IMMRScores(galleries, data["seconds_per_1k_queries"], data["seconds_per_1k_items"])}


def _gallery_to_json(scores: GalleryScores) -> dict[str, Any]:
    ranks = {
        view: {
            "above": above.tolist(),
            # Almost always 1: only the exceptions are saved.
            "tied": {str(row): int(scores.tied[view][row]) for row in np.flatnonzero(scores.tied[view] != 1)},
        }
        for view, above in scores.above.items()
    }
    data: dict[str, Any] = {"ranks": ranks, "best": scores.best.tolist()}
    if scores.boxes is not None:
        data["boxes"] = scores.boxes.round(4).tolist()
    for name in _MEASURES:
        values = getattr(scores, name)
        if values is not None:
            data[name] = [None if np.isnan(value) else round(value, 5) for value in values.tolist()]
            data[f"{name}_chance"] = getattr(scores, f"{name}_chance")
    return data


def _gallery_from_json(data: Mapping[str, Any], grounding: np.ndarray | None) -> GalleryScores:
    above, tied = {}, {}
    for view, ranks in data["ranks"].items():
        above[view] = np.array(ranks["above"], np.int64)
        tied[view] = np.ones_like(above[view])
        for row, value in ranks["tied"].items():
            tied[view][int(row)] = value
    measured: dict[str, Any] = {}
    if "boxes" in data:
        measured["boxes"] = np.array(data["boxes"], np.float32)
    for name in _MEASURES:
        if name in data:
            measured[name] = np.array(data[name], np.float64)  # None becomes NaN
            measured[f"{name}_chance"] = data[f"{name}_chance"]
    return GalleryScores(above, tied, np.array(data["best"]), grounding, **measured)
