"""The report of the listing benchmark: Markdown, numbers, a bar chart, and a figure of the gates."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tiger_fg_hf.synthetic.overlays import LEVELS

from ..harness.chart import draw_bars
from ..harness.folder import is_finished, setting_differences
from ..harness.seeds import comparable
from ..harness.text import short
from .arguments import Setup
from .benchmark import ListingBenchmark
from .data import BenchmarkData
from .figure import draw_scatter
from .results import Result, load_result
from .run import final_runs, grid_scores, run_settings
from .systems import ABLATIONS, BY_NAME, OURS, SYSTEMS
from .tables import (
    METRICS,
    Scored,
    ablation_table,
    cost_table,
    drop_table,
    gate_numbers,
    gate_table,
    metrics_table,
    paired_numbers,
    paired_table,
    rates_table,
    seeds_table,
    summary_table,
    system_numbers,
    wrong_title_table,
)


def write_report(setup: Setup, data: BenchmarkData) -> tuple[Path, str]:
    """
    Writes `report/` below the output folder; returns the path of `report.md` and a table of what is finished.

    Reports every system that is finished with these settings, whichever `--systems` names, and says which are not.
    """
    benchmark = data.benchmark("test")
    results: dict[str, dict[int, Result]] = {}
    missing: list[str] = []
    stale: dict[str, list[str]] = {}
    for run in final_runs(setup, BY_NAME):
        folder = setup.output / run.name
        if not is_finished(folder):
            missing.append(run.name)
        elif differing := setting_differences(folder, run_settings(setup, data, run)):
            stale[run.name] = differing
        else:
            results.setdefault(run.system.name, {})[run.seed] = load_result(folder)
    ids = benchmark.queries["clean"]["item_id"][:]
    scored = {name: Scored(ids, results[name]) for name in BY_NAME if name in results}
    systems = {system.name: scored[system.name] for system in SYSTEMS if system.name in scored}
    ablations = {system.name: scored[system.name] for system in ABLATIONS if system.name in scored}
    paired = paired_numbers(scored)

    folder = setup.output / "report"
    folder.mkdir(exist_ok=True)
    parts = ["# Listing benchmark", _settings_text(setup, data, benchmark)]
    if missing:
        parts.append(f"**Not run yet:** {', '.join(missing)}.")
    if stale:
        listed = "\n".join(f"- {name}: {'; '.join(differing)}" for name, differing in stale.items())
        parts.append(f"**Left out, as they ran with other settings:**\n\n{listed}")
    if systems:
        rows = {name: [found.interval(level) for level in LEVELS] for name, found in systems.items()}
        title = "Item to item under promotional overlays: H@10 with 95% bootstrap intervals"
        draw_bars(rows, LEVELS, title=title).save(folder / "hit_rate.png", optimize=True)
        parts += ["![H@10 of every system](hit_rate.png)", "## Systems", _sentences(systems)]
        parts += ["## Results", f"Percent, with 95% bootstrap intervals over products. {_chance_text(benchmark)}"]
        for level in LEVELS:
            parts += [f"### {level.capitalize()}", metrics_table(systems, level)]
        parts += ["## Drop", drop_table(systems)]
        if OURS in systems and len(systems) > 1:
            note = "Percentage points with 95% intervals, and relative to the other's mean."
            parts += ["## Paired differences", note, paired_table(systems, paired)]
        if all(found.has_wrong_titles for found in systems.values()):
            note = "Each query with the title of a product of another category; the pool as it is."
            parts += ["## Wrong titles", note, wrong_title_table(systems)]
        if any(len(found.results) > 1 for found in systems.values()):
            parts += ["## Seeds", seeds_table(systems)]
        parts += ["## Learning rates", rates_table(setup, systems), "## Cost", cost_table(systems)]
    if ablations:
        whole = {OURS: systems[OURS]} if OURS in systems else {}
        shown, note = comparable(whole | ablations)
        parts += ["## Ablations", _sentences(ablations), note, ablation_table(shown)]
    if OURS in systems and systems[OURS].has_gates:
        parts += ["## Gates", gates_text(systems[OURS], folder)]
    (folder / "report.md").write_text("\n\n".join(filter(None, parts)) + "\n")
    numbers = {
        "benchmark": benchmark.meta,
        "missing": missing,
        "other_settings": stale,
        "learning_rates": {name: grid_scores(setup, name) for name in systems},
        "systems": {name: system_numbers(found) for name, found in scored.items()},
        "paired": paired,
    }
    (folder / "results.json").write_text(json.dumps(numbers, indent=2))
    return folder / "report.md", summary_table(scored)


def _settings_text(setup: Setup, data: BenchmarkData, benchmark: ListingBenchmark) -> str:
    """What all systems share."""
    bench, model, train, meta = setup.bench, setup.model, setup.train, benchmark.meta
    language = "from scratch" if model.language_model is None else f"`{short(model.language_model)}`"
    if model.lora_rank:
        adapted = f"adapters of rank {model.lora_rank}"
    else:
        adapted = "frozen" if model.freeze_language_model else "trained whole"
    weights = ", ".join(f"{name} {value:g}" for name, value in asdict(setup.losses).items())
    distractors = "" if bench.distractors is None else f" (`{Path(bench.distractors).name}`)"
    return "\n".join(
        [
            f"- Test benchmark: `{Path(bench.test).name}`, digest `{meta['content']}`: {meta['products']} queries, a "
            f"pool of {_pool(benchmark)}, of them {meta['distractor_listings']} distractors{distractors}, at "
            f"{setup.data.image_size} px, seed {bench.benchmark_seed}; {meta['left_out']} rows left out. Queries and "
            "pool are at the same level, and a seller keeps "
            f"{' to '.join(f'{share:.0%}' for share in setup.data.kept_words())} of a title's words.",
            f"- Training catalog: `{Path(setup.data.data).name}`, fingerprint `{data.settings['catalog']}`, "
            f"{len(data.training)} rows; levels {setup.data.level_shares}; "
            f"{setup.data.wrong_titles:.0%} of the titles are of other products.",
            f"- Every system: {train.max_steps} steps of {train.batch_size * train.gradient_accumulation_steps} "
            f"pairs, the same ones in the same order, AdamW, seeds {bench.seeds}.",
            f"- Dual encoder: `{short(model.dual_encoder or '–')}`, frozen. Language model: {language}, {adapted}.",
            f"- Losses: {weights}. Connectors have as many parameters as TGQ-Former's; ablations have what is left.",
        ]
    )


def _pool(benchmark: ListingBenchmark) -> int:
    return len(benchmark.pool["clean"])


def _chance_text(benchmark: ListingBenchmark) -> str:
    items = _pool(benchmark)
    told = (f"{100 * min(k, items) / items:.3g} for {METRICS[f'hit_rate@{k}']}" for k in (1, 10, 100))
    return f"Chance is {', '.join(told)}."


def _sentences(systems: Mapping[str, Scored]) -> str:
    return "\n".join(f"- `{name}`: {BY_NAME[name].sentence}" for name in systems)


def gates_text(found: Scored, folder: Path) -> str:
    """Table and figure of TGQ-Former's gates; draws the figure."""
    numbers = gate_numbers(found)
    panels = {
        level: {
            f"{title} titles": (found.gates(level, title, "agreement"), found.gates(level, title, "metadata"))
            for title in ("own", "mismatched")
        }
        for level in numbers
    }
    draw_scatter(
        panels,
        title="TGQ-Former's metadata gate, one dot for each query; crosses are means",
        x_label="agreement of picture and title",
        y_label="mean beta over channels",
    ).save(folder / "gates.png", optimize=True)
    note = (
        "Every query of the test benchmark with its own title, and with that of a product of another category. A "
        "stream is multiplied by 1 + β; agreement is the frozen dual encoder's cosine of picture and title."
    )
    return f"{note}\n\n![Gates](gates.png)\n\n{gate_table(numbers)}"
