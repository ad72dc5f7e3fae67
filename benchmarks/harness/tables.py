"""Markdown tables of the reports: one row per system."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval

from .scored import Scored, common_seeds, seeds_text

Columns = Mapping[str, Callable[[Any], str]]
"""Heading of a column -> text of a system's cell."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with text in the first column and numbers in the others."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|---" + "|---:" * (len(head) - 1) + "|")
    return "\n".join(lines)


def systems_table(systems: Mapping[str, Scored], columns: Columns, head: str = "system") -> str:
    """Format a table with a row for each system."""
    rows = [[f"`{name}`", *(cell(scored) for cell in columns.values())] for name, scored in systems.items()]
    return table([head, *columns], rows)


def interval_text(interval: BootstrapInterval | None) -> str:
    """Format a mean and its interval."""
    return "–" if interval is None else f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def short(source: str) -> str:
    """Return a Hub id, or the last two parts of a path."""
    return "/".join(Path(source).parts[-2:])


def main_label(systems: Mapping[str, Scored]) -> str:
    """Return the label of the main metric."""
    first = next(iter(systems.values()))
    return first.metrics[first.main]


def interval_columns(parts: Sequence[str], suffix: str = "", **options: str) -> Columns:
    """Return a column for each part with the main metric and its interval."""
    return {
        f"{part.capitalize()}{suffix}": lambda scored, part=part: interval_text(scored.interval(part, **options))
        for part in parts
    }


def metrics_table(systems: Mapping[str, Scored], part: str) -> str:
    """Every metric on one part of the benchmark."""
    metrics = next(iter(systems.values())).metrics
    columns = {
        label: lambda scored, metric=metric: interval_text(scored.interval(part, metric))
        for metric, label in metrics.items()
    }
    return systems_table(systems, columns)


def paired_table(systems: Mapping[str, Scored], paired: Mapping[str, Any], ours: str) -> str:
    """Differences of one system from every other in the main metric: points, interval, p and relative change."""
    rows = []
    for name, scored in systems.items():
        if f"{ours} - {name}" in paired:
            cells = [paired[f"{ours} - {name}"][part][scored.main] for part in scored.parts]
            seeds = seeds_text(common_seeds([systems[ours], scored]))
            rows.append([f"`{name}`", *map(_difference_text, cells), seeds])
    parts = [part.capitalize() for part in next(iter(systems.values())).parts]
    return table([f"`{ours}` minus, {main_label(systems)}", *parts, "seeds"], rows)


def _difference_text(cell: Mapping[str, Any]) -> str:
    text = f"{cell['difference']:+.1f} [{cell['low']:+.1f}, {cell['high']:+.1f}], p = {cell['p']:.3f}"
    return text if cell["relative"] is None else f"{text} ({cell['relative']:+.1f}%)"


def ablation_table(
    systems: Mapping[str, Scored], paired: Mapping[str, Any], full: str, extra: Columns | None = None
) -> str:
    """Main metric of every ablation and its change from the full system; `extra` adds columns."""
    rows = []
    for name, scored in systems.items():
        cells = [f"`{name}`"]
        for part in scored.parts:
            text = interval_text(scored.interval(part))
            change = paired.get(f"{full} - {name}", {}).get(part, {}).get(scored.main)
            if change is not None:
                # `paired` holds full minus ablation, so the sign changes: 0 - x, because -x can be -0.
                lost, low, high = (0 - change[bound] for bound in ("difference", "high", "low"))
                text += f" ({lost:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(text)
        rows.append([*cells, *(cell(scored) for cell in (extra or {}).values())])
    first = next(iter(systems.values()))
    head = [f"{part.capitalize()} {main_label(systems)} (change)" for part in first.parts]
    return table(["ablation", *head, *(extra or {})], rows)


def seeds_table(systems: Mapping[str, Scored]) -> str:
    """Main metric of every seed."""
    first = next(iter(systems.values()))

    def cell(part: str, seed: int) -> Callable[[Scored], str]:
        return lambda scored: (
            f"{100 * scored.by_seed[seed].summary[part][scored.main]:.1f}" if seed in scored.by_seed else "–"
        )

    seeds = sorted({seed for scored in systems.values() for seed in scored.by_seed})
    columns = {f"{part.capitalize()}, seed {seed}": cell(part, seed) for part in first.parts for seed in seeds}
    text = systems_table(systems, columns, f"system, {main_label(systems)}")
    return f"Every other table shows means over the seeds of a system.\n\n{text}"


def parameters_of(part: str) -> Callable[[Scored], str]:
    """Return a cell with the number of parameters of a module."""
    return lambda scored: f"{scored.results[0].cost[part]['parameters'] / 1e6:.2f} M"


def gflops_of(part: str, digits: int = 2) -> Callable[[Scored], str]:
    """Return a cell with the floating-point operations of a module."""
    return lambda scored: f"{scored.results[0].cost[part]['gflops']:.{digits}f}"


def minutes_text(scored: Scored) -> str:
    """Format the mean training time."""
    seconds = [result.training["seconds"] for result in scored.results if result.training]
    return f"{sum(seconds) / len(seconds) / 60:.1f}" if seconds else "–"
