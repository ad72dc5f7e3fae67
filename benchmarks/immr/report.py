"""The report of the IMMR benchmark: Markdown, numbers, a bar chart, and a page of grounding maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GALLERIES, GalleryScores, IMMRScores
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

from ..harness.chart import draw_bars
from ..harness.folder import is_finished, setting_differences
from ..harness.seeds import comparable
from ..harness.text import short
from .arguments import Setup
from .cases import Case, cases_page, draw_cases
from .data import BenchmarkData
from .results import Result, load_result
from .run import final_runs, grid_scores, run_settings
from .systems import ABLATIONS, BY_NAME, FULL, OURS, SYSTEMS
from .tables import (
    Scored,
    ablation_table,
    cost_table,
    paired_numbers,
    rates_table,
    result_tables,
    seeds_table,
    system_numbers,
)

_CASES = 8


def write_report(setup: Setup, data: BenchmarkData) -> Path:
    """
    Writes `report/` below the output folder; returns `report.md`.

    Reports every system that is finished with these settings, whichever `--systems` names, and says which are not.
    """
    benchmark = data.benchmark("test")
    results: dict[str, list[Result]] = {}
    missing: list[str] = []
    stale: dict[str, list[str]] = {}
    for run in final_runs(setup, BY_NAME):
        folder = setup.output / run.name
        if not is_finished(folder):
            missing.append(run.name)
        elif differing := setting_differences(folder, run_settings(setup, data, run)):
            stale[run.name] = differing
        else:
            results.setdefault(run.system.name, []).append(load_result(folder))
    scored = {
        name: Scored(benchmark, {result.settings["seed"]: result.scores for result in found})
        for name, found in results.items()
    }
    systems = {system.name: scored[system.name] for system in SYSTEMS if system.name in scored}
    ablations = {system.name: scored[system.name] for system in ABLATIONS if system.name in scored}

    folder = setup.output / "report"
    folder.mkdir(exist_ok=True)
    parts = ["# IMMR benchmark", _settings_text(setup, data, benchmark, results)]
    if missing:
        parts.append(f"**Not run yet:** {', '.join(missing)}.")
    if stale:
        told = "\n".join(f"- {name}: {'; '.join(differing)}" for name, differing in stale.items())
        parts.append(f"**Left out, as they ran with other settings:**\n\n{told}")
    if systems:
        _draw_recall(systems).save(folder / "recall.png", optimize=True)
        parts += ["![Recall@1 of every system](recall.png)", "## Systems", _sentences(systems)]
        parts += result_tables(systems)
        if any(len(found) > 1 for found in results.values()):
            parts += ["## Seeds", seeds_table({name: results[name] for name in systems})]
        parts += ["## Learning rates", rates_table(setup, systems)]
        parts += ["## Cost", cost_table({name: results[name] for name in systems})]
    if ablations:
        shown, note = comparable(ablations)
        parts += ["## Ablations", _sentences(ablations), note, ablation_table(shown)]
    if OURS in results and _draw_groundings(folder, benchmark, results[OURS][0].scores):
        parts += ["## Where it looked", "[Good and bad cases](grounding.html)", "![Grounding maps](grounding.png)"]
    (folder / "report.md").write_text("\n\n".join(filter(None, parts)) + "\n")
    numbers = {
        "benchmark": benchmark.meta,
        "missing": missing,
        "other_settings": stale,
        "learning_rates": {name: grid_scores(setup, name) for name in systems},
        "systems": {name: system_numbers(found, results[name]) for name, found in scored.items()},
        "paired": paired_numbers(systems, OURS) | paired_numbers(ablations, FULL),
    }
    (folder / "results.json").write_text(json.dumps(numbers, indent=2))
    return folder / "report.md"


def evaluation_report(
    benchmark: IMMRBenchmark, scores: IMMRScores, cost: dict[str, dict[str, float]]
) -> tuple[str, dict[str, Any]]:
    """Tables of one model as Markdown, and its numbers."""
    result = Result({}, {}, scores, cost, {})
    model = {"model": Scored(benchmark, {0: scores})}
    parts = [f"Benchmark {benchmark.meta['content']}: {_sizes(benchmark)}", *result_tables(model)]
    parts += ["## Cost", cost_table({"model": [result]})]
    return "\n\n".join(parts) + "\n", system_numbers(model["model"], [result])


def _settings_text(
    setup: Setup, data: BenchmarkData, benchmark: IMMRBenchmark, results: Mapping[str, Sequence[Result]]
) -> str:
    """What all systems share."""
    train, bench = setup.train, setup.bench
    lines = [
        f"- Test benchmark: `{Path(bench.test).name}`, digest `{benchmark.meta['content']}`: {_sizes(benchmark)}",
        f"- Training catalog: `{Path(setup.data.data).name}`, fingerprint `{data.training_fingerprint}`, "
        f"{len(data.training)} rows.",
        f"- Every system: {train.max_steps} steps of {train.batch_size * train.gradient_accumulation_steps} pairs at "
        f"{setup.model.image_size} px (queries: {setup.model.query_image_size or setup.model.image_size} px), "
        f"the same pairs in the same order, AdamW, seeds {bench.seeds}. Systems with "
        f"mosaics see {setup.data.mosaic_share:.0%} of their pairs in mosaics.",
        f"- Encoders: {_encoders(setup)}.",
    ]
    teacher = next((result.settings["teacher"] for result in results.get(OURS, [])), None)
    weights = setup.losses
    told = ", ".join(f"{name} {value:g}" for name, value in asdict(weights).items() if isinstance(value, float))
    teacher = f"`{short(teacher)}`" if teacher else "none, so neither SRD nor SDD"
    lines.append(f"- Losses of TIGER-FG: {told}; teacher: {teacher}.")
    return "\n".join(lines)


def _encoders(setup: Setup) -> str:
    model = setup.model
    if model.vision and model.text:
        frozen = ", frozen" if model.freeze_text else ""
        return f"`{short(model.vision)}` and `{short(model.text)}`{frozen}"
    return f"those of `{short(model.model)}`" if model.model else "from scratch"


def _sizes(benchmark: IMMRBenchmark) -> str:
    meta = benchmark.meta
    return (
        f"{meta['queries']} queries of {meta['products']} products, galleries of {meta['products']}, seed "
        f"{meta['config']['seed']}; {meta['left_out']} rows of the catalog left out."
    )


def _sentences(systems: Mapping[str, Any]) -> str:
    return "\n".join(f"- `{name}`: {BY_NAME[name].sentence}" for name in systems)


def _draw_recall(systems: Mapping[str, Scored]) -> Image.Image:
    rows = {name: [found.interval(gallery) for gallery in GALLERIES] for name, found in systems.items()}
    names = [gallery.capitalize() for gallery in GALLERIES]
    return draw_bars(rows, names, title="IMMR: Recall@1 with 95% bootstrap intervals")


def _draw_groundings(folder: Path, benchmark: IMMRBenchmark, scores: IMMRScores) -> bool:
    """Writes a sheet and a page of cases in mosaics, drawn at random; returns whether there are maps."""
    gallery = scores.galleries["mosaic"]
    if gallery.grounding is None or gallery.pointing is None:
        return False
    row_of = {item_id: row for row, item_id in enumerate(benchmark.mosaic["item_id"])}
    rows = np.array([row_of[item_id] for item_id in benchmark.queries["item_id"]])
    is_first = gallery.above["own"] == 0
    has_box = ~np.isnan(gallery.pointing[rows])  # not so where the processor crops it away
    kinds = {
        "Found first": is_first & has_box,
        "Not found first": ~is_first & has_box,
        "The map is highest outside the box": gallery.pointing[rows] < 0.5,
    }
    groups = {}
    for heading, fits in kinds.items():
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(fits))[:_CASES].tolist()
        if chosen:
            share = f"{heading} ({fits.sum()} of {len(rows)}; {len(chosen)} drawn at random)"
            groups[share] = [_case(benchmark, gallery, query, int(rows[query])) for query in chosen]
    title = "IMMR, Mosaic gallery: where TIGER-FG's item tower looked"
    draw_cases(groups, title=title).save(folder / "grounding.png", optimize=True)
    note = "The blue box is the true one, which the model never sees; red is where the map is highest."
    (folder / "grounding.html").write_text(cases_page(groups, title=title, note=note))
    return True


def _case(benchmark: IMMRBenchmark, gallery: GalleryScores, query: int, row: int) -> Case:
    assert gallery.grounding is not None
    assert gallery.mass is not None
    item, found = benchmark.mosaic[row], benchmark.mosaic[int(gallery.best[query])]
    return Case(
        query=load_rgb_image(benchmark.queries[query]["query_image"]),
        item=load_rgb_image(item["image"]),
        found=load_rgb_image(found["image"]),
        grounding=torch.from_numpy(gallery.grounding[row].astype(np.float32)),
        box=item["box"],
        title=item["title"],
        found_title=found["title"],
        rank=int(gallery.above["own"][query]) + 1,
        mass=float(gallery.mass[row]),
    )
