"""The report of a benchmark: Markdown, all numbers, a chart, and a record of the figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .benchmark import Benchmark
from .folder import is_finished, setting_differences
from .record import evaluation_record
from .runs import final_runs, grid_scores, run_settings, selected_rate
from .scored import Scored, comparable, paired_numbers, system_numbers
from .tables import ablation_table, main_label, metrics_table, paired_table, seeds_table, systems_table


@dataclass(frozen=True)
class Finished:
    """The runs to report, and those left out.

    Attributes:
        systems: scores of every system with a finished run.
        missing: names of runs that are not finished.
        stale: name of a run -> how its settings differ from the current ones.
    """

    systems: dict[str, Scored]
    missing: list[str]
    stale: dict[str, list[str]]


def write_report(benchmark: Benchmark) -> tuple[Path, str]:
    """Write `--output/report`; return the path of `report.md` and a summary to print.

    Reports every system that is finished with these settings, even if `--systems` does not name it.
    """
    finished = _collect(benchmark)
    scored, ours, full = finished.systems, benchmark.systems.ours, benchmark.systems.full
    systems = {system.name: scored[system.name] for system in benchmark.systems.compared if system.name in scored}
    ablations = {system.name: scored[system.name] for system in benchmark.systems.ablations if system.name in scored}
    if full in systems and ablations:
        ablations = {full: systems[full], **ablations}
    paired = paired_numbers(systems, ours) | paired_numbers(ablations, full)

    folder = benchmark.setup.output / "report"
    folder.mkdir(exist_ok=True)
    parts = [f"# {benchmark.title}", benchmark.settings_text(scored)]
    if finished.missing:
        parts.append(f"**Not run yet:** {', '.join(finished.missing)}.")
    if finished.stale:
        lines = "\n".join(f"- {name}: {'; '.join(differing)}" for name, differing in finished.stale.items())
        parts.append(f"**Left out because they ran with other settings:**\n\n{lines}")
    if systems:
        benchmark.chart(systems).save(folder / benchmark.chart_file, optimize=True)
        parts += [f"![{main_label(systems)} of every system]({benchmark.chart_file})"]
        parts += ["## Systems", _sentences(benchmark, systems)]
        parts += metric_sections(benchmark, systems)
        parts += benchmark.before_differences(systems)
        if ours in systems and len(systems) > 1:
            note = "Percentage points with 95% intervals, and the change relative to the other system in brackets."
            parts += ["## Paired differences", note, paired_table(systems, paired, ours)]
        parts += benchmark.after_differences(systems)
        if any(len(each.by_seed) > 1 for each in systems.values()):
            parts += ["## Seeds", seeds_table(systems)]
        parts += ["## Learning rates", _rates_text(benchmark, systems), "## Cost", benchmark.cost_text(systems)]
    if ablations:
        shown, note = comparable(ablations)
        changes = ablation_table(shown, paired_numbers(shown, full), full, benchmark.ablation_columns())
        parts += ["## Ablations", _sentences(benchmark, ablations), note, changes]
    if ours in systems:
        parts += benchmark.closing_sections(systems[ours], folder)
    (folder / "report.md").write_text("\n\n".join(filter(None, parts)) + "\n")
    numbers = {
        "benchmark": benchmark.data.benchmark("test").meta,
        "missing": finished.missing,
        "other_settings": finished.stale,
        "learning_rates": {name: grid_scores(benchmark, name) for name in systems},
        "systems": {name: system_numbers(each) for name, each in scored.items()},
        "paired": paired,
    }
    (folder / "results.json").write_text(json.dumps(numbers, indent=2))
    (folder / "record.json").write_text(json.dumps(evaluation_record(benchmark, scored, paired), indent=1))
    return folder / "report.md", benchmark.summary_text(scored)


def metric_sections(benchmark: Benchmark, systems: Mapping[str, Scored]) -> list[str]:
    """Return the sections with every metric on every part of the benchmark."""
    sections = ["## Results", f"Percent, with 95% bootstrap intervals over products. {benchmark.chance_text()}"]
    for part in benchmark.scored_class.parts:
        sections += [f"### {part.capitalize()}", metrics_table(systems, part)]
    return sections


def _collect(benchmark: Benchmark) -> Finished:
    results: dict[str, dict[int, Any]] = {}
    missing: list[str] = []
    stale: dict[str, list[str]] = {}
    for run in final_runs(benchmark, benchmark.systems.by_name):
        folder = benchmark.setup.output / run.name
        if not is_finished(folder):
            missing.append(run.name)
        elif differing := setting_differences(folder, run_settings(benchmark, run)):
            stale[run.name] = differing
        else:
            results.setdefault(run.system.name, {})[run.seed] = benchmark.result_class.load(folder)
    order = [name for name in benchmark.systems.by_name if name in results]
    return Finished({name: benchmark.scored("test", results[name]) for name in order}, missing, stale)


def _sentences(benchmark: Benchmark, systems: Mapping[str, Any]) -> str:
    return "\n".join(f"- `{name}`: {benchmark.systems.by_name[name].sentence}" for name in systems)


def _rates_text(benchmark: Benchmark, systems: Mapping[str, Scored]) -> str:
    """The grid scores of every system, and its selected rate."""
    rates = benchmark.setup.rates
    if len(rates) == 1:
        return f"Every system learns at {rates[0]:g}."
    trained = {name: scored for name, scored in systems.items() if benchmark.systems.by_name[name].trained}
    scores = {id(scored): grid_scores(benchmark, name) for name, scored in trained.items()}
    best = {id(scored): selected_rate(benchmark, name) for name, scored in trained.items()}
    columns: dict[str, Any] = {
        f"{rate:g}": lambda scored, rate=rate: (
            f"{100 * scores[id(scored)][rate]:.1f}" if rate in scores[id(scored)] else "–"
        )
        for rate in rates
    }
    columns["selected"] = lambda scored: "–" if best[id(scored)] is None else f"{best[id(scored)]:g}"
    return f"{benchmark.grid_note}\n\n{systems_table(trained, columns)}"
