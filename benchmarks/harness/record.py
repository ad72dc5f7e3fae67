"""Records of published figures: one JSON file per command, from which documentation tables are generated.

A record has these keys:

- `schema`: 1.
- `benchmark`, `title`: which benchmark, and a heading for tables.
- `command`: the command that prints the figures.
- `commit`, `date`, `machine`: code version (`-dirty` with uncommitted changes), day, and hardware of the run.
- `source`: where figures were transcribed from; absent if the command wrote the file itself.
- `seeds`: training seeds; empty for an existing checkpoint.
- `benchmark_seed`, `sizes`, `content`: seed, sizes and content digest of the benchmark.
- `confidence`, `unit`: of the intervals and the values.
- `figures`: a list of `{"system", "part", "metric", "mean", "low", "high"}`. Optional: `view` (texts other than the
  item's own), `chance`, `p` (of paired differences, whose system is `"a - b"`), `seeds` (if other than the record's).
"""

import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .scored import Scored
from .tables import table

if TYPE_CHECKING:
    from .benchmark import Benchmark

SCHEMA = 1


def evaluation_record(
    benchmark: "Benchmark", systems: Mapping[str, Scored], paired: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the record of some systems that have just been scored.

    Args:
        benchmark: the benchmark.
        systems: scores by name.
        paired: differences, as from [`paired_numbers`].
    """
    setup, built = benchmark.setup, benchmark.data.benchmark("test")
    figures = [{"system": name, **figure} for name, scored in systems.items() for figure in scored_figures(scored)]
    for pair, parts in (paired or {}).items():
        for part, metrics in parts.items():
            for metric, cell in metrics.items():
                bounds = {name: round(cell[name], 4) for name in ("low", "high", "p")}
                figures.append(
                    {"system": pair, "part": part, "metric": metric, "mean": round(cell["difference"], 4), **bounds}
                )
    return {
        "schema": SCHEMA,
        "benchmark": benchmark.script.name,
        "title": benchmark.title,
        "command": shlex.join(["python", "-m", f"benchmarks.{benchmark.script.name}", *setup.argv]),
        "commit": git_commit(),
        "date": date.today().isoformat(),
        "machine": machine(),
        "seeds": [] if setup.bench.evaluate else setup.bench.seed_numbers,
        "benchmark_seed": setup.bench.benchmark_seed,
        "sizes": benchmark.sizes(built),
        "content": built.meta["content"],
        "confidence": 0.95,
        "unit": "%",
        "figures": figures,
    }


def scored_figures(scored: Scored) -> list[dict[str, Any]]:
    """Return all intervals of a system."""
    figures: list[dict[str, Any]] = [
        {"part": part, "metric": metric, **scored.interval(part, metric)._asdict()}
        for part in scored.parts
        for metric in scored.metrics
    ]
    figures += scored.more_figures()
    return [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in figure.items()}
        for figure in figures
    ]


def record_table(
    record: Mapping[str, Any], columns: Sequence[tuple[str, str]], systems: Sequence[str] | None = None
) -> str:
    """Format a Markdown table of a record with a row for each system.

    Args:
        record: content of a record file.
        columns: `(part, metric)` of each column.
        systems: rows; default: all systems in the order of the record.
    """
    cells = {
        (figure["system"], figure["part"], figure["metric"]): figure
        for figure in record["figures"]
        if "view" not in figure
    }
    names = systems or list(dict.fromkeys(system for system, _, _ in cells))
    rows = [[f"`{name}`", *(_cell(cells.get((name, *column))) for column in columns)] for name in names]
    return table(["system", *(f"{part}, {metric}" for part, metric in columns)], rows)


def git_commit() -> str | None:
    """Return the commit of this checkout, with `-dirty` if files differ; None without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def machine() -> str:
    """Describe the hardware of this process."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, threads: {torch.get_num_threads()}"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "–"
    if figure.get("low") is None:
        return f"{figure['mean']:g}"
    return f"{figure['mean']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"
