"""Tables of the IMMR report, and the numbers behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval, bootstrap_interval, paired_bootstrap
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GALLERIES, METRICS, TEXTS, IMMRScores, query_metrics

from ..harness.seeds import common_seeds, seeds_text
from ..harness.text import difference_text, interval_text, table
from .arguments import Setup
from .results import Result
from .run import grid_scores, selected_rate
from .systems import BY_NAME, FULL, OURS

_AREAS = ((0.0, 0.05, "below 5%"), (0.05, 0.10, "5–10%"), (0.10, 0.25, "10–25%"), (0.25, 1.01, "above 25%"))


class Scored:
    """A system's results on one benchmark by seed; with several, the mean of every query over them."""

    def __init__(self, benchmark: IMMRBenchmark, by_seed: Mapping[int, IMMRScores]):
        self.benchmark, self.by_seed = benchmark, dict(by_seed)
        self.ids = list(benchmark.queries["item_id"])

    @property
    def scores(self) -> list[IMMRScores]:
        """Those of every seed."""
        return list(self.by_seed.values())

    def of_seeds(self, seeds: Iterable[int]) -> "Scored":
        """The same of some seeds."""
        return Scored(self.benchmark, {seed: self.by_seed[seed] for seed in seeds})

    def reads(self, text: str) -> bool:
        """Whether its items have been ranked with such a text."""
        return text in self.scores[0].galleries["normal"].above

    def values(self, gallery: str, metric: str = "recall@1", text: str = "own") -> np.ndarray:
        """`[Q]` in percent."""
        parts = [query_metrics(self.benchmark, part.galleries[gallery], text)[metric] for part in self.scores]
        return 100 * np.mean(parts, axis=0)

    def interval(self, gallery: str, metric: str = "recall@1", text: str = "own") -> BootstrapInterval:
        return bootstrap_interval(self.values(gallery, metric, text), groups=self.ids)

    def among(self, chosen: np.ndarray) -> BootstrapInterval | None:
        """Recall@1 in mosaics of the chosen queries `[Q]`; None where none is."""
        if not chosen.any():
            return None
        return bootstrap_interval(self.values("mosaic")[chosen], groups=list(np.array(self.ids)[chosen]))

    def grounding(self, gallery: str, measure: str) -> tuple[BootstrapInterval, float] | None:
        """`"pointing"` or `"mass"` in percent, and chance."""
        parts = [part.galleries[gallery] for part in self.scores]
        if getattr(parts[0], measure) is None:
            return None
        values = 100 * np.mean([getattr(part, measure) for part in parts], axis=0)
        return bootstrap_interval(values[~np.isnan(values)]), 100 * getattr(parts[0], f"{measure}_chance")


def result_tables(systems: Mapping[str, Scored]) -> list[str]:
    """Metrics, paired differences, grounding and robustness of some systems on one benchmark, as Markdown."""
    parts = ["## Results", f"Percent, with 95% bootstrap intervals over products. {_chance_text(systems)}"]
    for gallery in GALLERIES:
        parts += [f"### {gallery.capitalize()} gallery", _metrics_table(systems, gallery)]
    if OURS in systems and len(systems) > 1:
        parts += ["## Paired differences", _paired_table(systems, OURS, GALLERIES)]
    if any(found.grounding("mosaic", "pointing") for found in systems.values()):
        parts += ["## Grounding", _grounding_table(systems)]
    parts += ["## Robustness", "Recall@1 in percent.", *(_texts_table(systems, gallery) for gallery in GALLERIES)]
    parts += [_targets_table(systems)]
    return parts


def _chance_text(systems: Mapping[str, Scored]) -> str:
    items = len(next(iter(systems.values())).benchmark.normal)
    return f"Chance is {100 / items:.2g} for Recall@1 and {100 * min(10, items) / items:.2g} for Recall@10."


def _metrics_table(systems: Mapping[str, Scored], gallery: str) -> str:
    names = {"recall@1": "R@1", "recall@5": "R@5", "recall@10": "R@10", "mrr": "MRR", "ndcg@10": "nDCG@10"}
    rows = [
        [f"`{system}`", *(interval_text(found.interval(gallery, metric)) for metric in METRICS)]
        for system, found in systems.items()
    ]
    return table(["system", *(names[metric] for metric in METRICS)], rows)


def _paired_table(systems: Mapping[str, Scored], ours: str, galleries: Sequence[str]) -> str:
    paired = paired_numbers(systems, ours)
    rows = []
    for name, found in systems.items():
        if f"{ours} - {name}" in paired:
            cells = [difference_text(paired[f"{ours} - {name}"][gallery]) for gallery in galleries]
            rows.append([f"`{name}`", *cells, seeds_text(common_seeds([systems[ours], found]))])
    head = [f"`{ours}` minus", *(f"{gallery.capitalize()} R@1" for gallery in galleries), "seeds"]
    return table(head, rows)


def paired_numbers(systems: Mapping[str, Scored], ours: str) -> dict[str, dict[str, dict[str, float]]]:
    """
    Differences in Recall@1 of one system from every other, by `"ours - other"` and gallery.

    Of the seeds that both have run; a system without any of that one's is left out.
    """
    numbers = {}
    for name, found in systems.items():
        if name != ours and ours in systems and (seeds := common_seeds([systems[ours], found])):
            own, other = systems[ours].of_seeds(seeds), found.of_seeds(seeds)
            numbers[f"{ours} - {name}"] = {
                gallery: paired_bootstrap(own.values(gallery), other.values(gallery), groups=own.ids)._asdict()
                for gallery in GALLERIES
            }
    return numbers


def _grounding_table(systems: Mapping[str, Scored]) -> str:
    rows = []
    for name, found in systems.items():
        cells = [f"`{name}`"]
        for measure in ("pointing", "mass"):
            for gallery in GALLERIES:
                value = found.grounding(gallery, measure)
                cells.append("–" if value is None else f"{interval_text(value[0])}, chance {value[1]:.1f}")
        if len(set(cells[1:])) > 1:
            rows.append(cells)
    note = (
        "Pointing: how often the map is highest inside the true box. Box mass: how much of the map lies inside it. "
        "Percent; chance is what a uniform map scores."
    )
    head = ["system", "pointing, Normal", "pointing, Mosaic", "box mass, Normal", "box mass, Mosaic"]
    return f"{note}\n\n{table(head, rows)}"


def _texts_table(systems: Mapping[str, Scored], gallery: str) -> str:
    """Recall@1 with the items' texts as they are, and as they should not be."""
    names = {"own": "own text", "missing": "no text", "category": "category only", "swapped": "another product's"}
    rows = []
    for name, found in systems.items():
        # What reads no text ranks alike with any.
        texts = [text if found.reads(text) else "own" for text in TEXTS]
        label = f"`{name}`" if found.reads("missing") else f"`{name}` (reads no text)"
        rows.append([label, *(interval_text(found.interval(gallery, text=text)) for text in texts)])
    return table([f"item text, {gallery.capitalize()} gallery", *(names[text] for text in TEXTS)], rows)


def _targets_table(systems: Mapping[str, Scored]) -> str:
    """Mosaic Recall@1 by the target's area, and by the number of distractors."""
    benchmark = next(iter(systems.values())).benchmark
    groups = [(name, chosen) for name, chosen in target_groups(benchmark).items() if chosen.any()]
    head = ["target in the mosaic", *(f"{name} (n = {chosen.sum()})" for name, chosen in groups)]
    rows = [
        [f"`{name}`", *(interval_text(found.among(chosen)) for _, chosen in groups)] for name, found in systems.items()
    ]
    return table(head, rows)


def target_groups(benchmark: IMMRBenchmark) -> dict[str, np.ndarray]:
    """Queries `[Q]` (bool) by the area of their target in its mosaic, and by its number of distractors."""
    row_of = {item_id: row for row, item_id in enumerate(benchmark.mosaic["item_id"])}
    rows = np.array([row_of[item_id] for item_id in benchmark.queries["item_id"]])
    areas = np.array(benchmark.mosaic["target_area"])[rows]
    distractors = np.array([len(others) for others in benchmark.mosaic["distractors"]])[rows]
    groups = {name: (areas >= low) & (areas < high) for low, high, name in _AREAS}
    counts = {
        f"{count} distractor{'s' if count > 1 else ''}": distractors == count for count in sorted(set(distractors))
    }
    return groups | counts


def seeds_table(results: Mapping[str, Sequence[Result]]) -> str:
    """Recall@1 of every seed."""
    seeds = sorted({result.settings["seed"] for found in results.values() for result in found})
    rows = []
    for name, found in results.items():
        by_seed = {result.settings["seed"]: result.summary for result in found}
        cells = [
            f"{100 * by_seed[seed][gallery]['recall@1']:.1f}" if seed in by_seed else "–"
            for gallery in GALLERIES
            for seed in seeds
        ]
        rows.append([f"`{name}`", *cells])
    head = ["system", *(f"{gallery.capitalize()} R@1, seed {seed}" for gallery in GALLERIES for seed in seeds)]
    return f"Every number elsewhere is a mean over a system's seeds.\n\n{table(head, rows)}"


def rates_table(setup: Setup, systems: Mapping[str, Any]) -> str:
    """What every system scored at every learning rate, and which it took."""
    trained = [name for name in systems if BY_NAME[name].trained]
    rates = setup.bench.rates
    if len(rates) == 1:
        return f"The encoders of every system learn at {rates[0]:g}."
    rows = []
    for name in trained:
        scores, best = grid_scores(setup, name), selected_rate(setup, name)
        cells = [f"{100 * scores[rate]:.1f}" if rate in scores else "–" for rate in rates]
        rows.append([f"`{name}`", *cells, "–" if best is None else f"{best:g}"])
    note = (
        "Mean Recall@1 of both galleries of the validation benchmark, percent, after the short trial that every "
        "system had at every rate."
    )
    return f"{note}\n\n{table(['system', *(f'{rate:g}' for rate in rates), 'taken'], rows)}"


def cost_table(results: Mapping[str, Sequence[Result]]) -> str:
    """Parameters, operations and times."""
    rows = []
    for name, found in results.items():
        cost, scores = found[0].cost, found[0].scores
        seconds = [result.training["seconds"] for result in found if result.training]
        rows.append(
            [
                f"`{name}`",
                *(f"{cost[tower]['parameters'] / 1e6:.2f} M" for tower in ("query", "item")),
                *(f"{cost[tower]['gflops']:.2f}" for tower in ("query", "item")),
                f"{sum(seconds) / len(seconds) / 60:.1f}" if seconds else "–",
                f"{scores.seconds_per_1k_queries:.1f}",
                f"{scores.seconds_per_1k_items:.1f}",
            ]
        )
    head = ["system", "query parameters", "item parameters", "query GFLOPs", "item GFLOPs"]
    head += ["training, minutes", "s per 1,000 queries", "s per 1,000 items"]
    note = (
        "Parameters that an embedding depends on; the towers share the vision encoder. Floating-point operations of "
        "one picture, a multiplication and an addition being two, items with a text of median length. Times are "
        "wall-clock, decoding included, on a machine that may have been busy."
    )
    return f"{note}\n\n{table(head, rows)}"


def ablation_table(ablations: Mapping[str, Scored]) -> str:
    """Recall@1 of every ablation and its change from the whole, and grounding in mosaics."""
    paired = paired_numbers(ablations, FULL)
    rows = []
    for name, found in ablations.items():
        cells = [f"`{name}`"]
        for gallery in GALLERIES:
            change = paired.get(f"{FULL} - {name}", {}).get(gallery)
            told = interval_text(found.interval(gallery))
            if change is not None:  # signs turned: what is lost or gained without the part
                told += f" ({-change['difference']:+.1f} [{-change['high']:+.1f}, {-change['low']:+.1f}])"
            cells.append(told)
        for measure in ("pointing", "mass"):
            value = found.grounding("mosaic", measure)
            cells.append("–" if value is None else interval_text(value[0]))
        rows.append(cells)
    head = ["ablation", "Normal R@1 (change)", "Mosaic R@1 (change)", "pointing, Mosaic", "box mass, Mosaic"]
    return table(head, rows)


def system_numbers(found: Scored, results: Sequence[Result]) -> dict[str, Any]:
    """All that the tables tell of a system."""

    def told(interval: BootstrapInterval | None) -> dict[str, float] | None:
        return None if interval is None else interval._asdict()

    grounding = {
        f"{measure} {gallery}": None if value is None else {**value[0]._asdict(), "chance": value[1]}
        for measure in ("pointing", "mass")
        for gallery in GALLERIES
        for value in [found.grounding(gallery, measure)]
    }
    return {
        "metrics": {g: {metric: told(found.interval(g, metric)) for metric in METRICS} for g in GALLERIES},
        "texts": {
            g: {text: told(found.interval(g, text=text)) for text in TEXTS if found.reads(text)} for g in GALLERIES
        },
        "targets": {name: told(found.among(chosen)) for name, chosen in target_groups(found.benchmark).items()},
        "grounding": grounding,
        "cost": results[0].cost,
        "seconds_per_1k_queries": results[0].scores.seconds_per_1k_queries,
        "seconds_per_1k_items": results[0].scores.seconds_per_1k_items,
        "runs": [
            {
                "seed": result.settings.get("seed"),
                "rate": result.settings.get("rate"),
                "summary": result.summary,
                "training": result.training,
            }
            for result in results
        ],
    }
