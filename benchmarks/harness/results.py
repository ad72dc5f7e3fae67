"""The result of a run, on disk and in memory."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from .folder import RESULT, write_file


@dataclass(frozen=True)
class Result:
    """What every run saves; a benchmark adds its per-query scores.

    Attributes:
        settings: everything that the result depends on.
        summary: part of the benchmark -> metric -> mean over queries, in [0, 1].
        cost: name of a module -> `{"parameters", "gflops"}`.
        training: at least `{"steps", "seconds", "pairs_per_second"}`; empty for a system that is not trained.
    """

    settings: dict[str, Any]
    summary: dict[str, dict[str, float]]
    cost: dict[str, dict[str, float]]
    training: dict[str, float]

    def payload(self) -> dict[str, Any]:
        """Return the fields that the benchmark adds, as JSON."""
        return {}

    @classmethod
    def restore(cls, data: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Convert what [`payload`] returned back to fields."""
        return {}

    def save(self, folder: Path) -> None:
        """Write `result.json`, which marks the run as finished."""
        shared = {part.name: getattr(self, part.name) for part in fields(Result)}
        write_file(folder / RESULT, json.dumps(shared | self.payload(), separators=(",", ":")))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what [`save`] wrote."""
        data = json.loads((folder / RESULT).read_text())
        shared = {part.name: data[part.name] for part in fields(Result)}
        return cls(**shared, **cls.restore(data, folder))
