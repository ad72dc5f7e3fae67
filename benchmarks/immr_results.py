"""Files of a run: the settings that it belongs to, and what it scored."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.immr_scores import GalleryScores, IMMRScores

_SETTINGS, RESULT, _GROUNDING = "settings.json", "result.json", "grounding.npz"


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


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """
    Marks a folder as that of a run with these settings.

    Raises:
        ValueError: it is that of a run with other settings; what differs is named.
    """
    path = folder / _SETTINGS
    if path.is_file():
        differing = setting_differences(folder, settings)
        if differing:
            raise ValueError(
                f"'{folder}' holds a run with other settings ({'; '.join(differing)}). Choose another --output, or "
                "delete the folder to run it anew."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(settings, indent=2))


def setting_differences(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """What of a run's settings is not as in `settings`."""
    return _differences(json.loads((folder / _SETTINGS).read_text()), json.loads(json.dumps(settings)))


def is_finished(folder: Path) -> bool:
    return (folder / RESULT).is_file()


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


def _differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        # What `found` lacks is an argument that there was not yet; its default leaves things as they were.
        return [
            told
            for name, value in found.items()
            for told in _differences(value, wanted.get(name), f"{path}.{name}" if path else name)
        ]
    return [] if found == wanted else [f"{path}: {found!r} there, {wanted!r} now"]


def write_whole(path: Path, text: str) -> None:
    """A process that dies while writing leaves no half of a file."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(text)
    os.replace(partial, path)
