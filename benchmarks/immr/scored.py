"""Scores and tables that only the IMMR benchmark has: grounding, item texts, and targets in mosaics."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval, bootstrap_interval
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import GALLERIES, GLANCES, METRICS, TEXTS, query_metrics

from ..harness.scored import Scored
from ..harness.tables import gflops_of, interval_text, minutes_text, parameters_of, systems_table
from .results import IMMRResult

_LABELS = ("R@1", "R@5", "R@10", "MRR", "nDCG@10")
_AREAS = ((0.0, 0.05, "below 5%"), (0.05, 0.10, "5–10%"), (0.10, 0.25, "10–25%"), (0.25, 1.01, "above 25%"))
_TEXT_LABELS = {
    "own": "own text",
    "missing": "no text",
    "category": "category only",
    "swapped": "another product's",
}
_GLANCE_LABELS = {"own": "both", "first_glance": "first alone", "second_glance": "second alone"}
MEASURES = {"pointing": "pointing", "mass": "box mass", "extent": "extent IoU"}


class IMMRScored(Scored):
    """Scores of a system on the Normal, the Scene and the Mosaic gallery."""

    parts = GALLERIES
    metrics = dict(zip(METRICS, _LABELS, strict=True))
    main = "recall@1"

    def per_query(self, result: IMMRResult, part: str, metric: str, view: str) -> np.ndarray:
        """Return `[Q]` scores in [0, 1]; `view` is one of `TEXTS` or `GLANCES`."""
        return query_metrics(self.benchmark, result.scores.galleries[part], view)[metric]

    def has_view(self, view: str) -> bool:
        """Return whether items were ranked in this way, one of `TEXTS` or `GLANCES`."""
        return view in self.results[0].scores.galleries["normal"].above

    def among(self, chosen: np.ndarray) -> BootstrapInterval | None:
        """Return Recall@1 in mosaics of the chosen queries `[Q]`; None if there are none."""
        if not chosen.any():
            return None
        return bootstrap_interval(self.values("mosaic")[chosen], groups=list(np.array(self.ids)[chosen]))

    def grounding(self, gallery: str, measure: str) -> tuple[BootstrapInterval, float] | None:
        """Return `"pointing"`, `"mass"` or `"extent"` in percent, and the score of a uniform map; None without."""
        scores = [result.scores.galleries[gallery] for result in self.results]
        if getattr(scores[0], measure) is None:
            return None
        values = 100 * np.mean([getattr(each, measure) for each in scores], axis=0)
        return bootstrap_interval(values[~np.isnan(values)]), 100 * getattr(scores[0], f"{measure}_chance")

    def numbers(self) -> dict[str, Any]:
        """Return texts, targets, grounding and times for `results.json`."""

        def as_dict(interval: BootstrapInterval | None) -> dict[str, float] | None:
            return None if interval is None else interval._asdict()

        grounding = {
            f"{measure} {gallery}": None if value is None else {**value[0]._asdict(), "chance": value[1]}
            for measure in MEASURES
            for gallery in GALLERIES
            for value in [self.grounding(gallery, measure)]
        }
        first = self.results[0].scores
        return {
            "texts": {
                gallery: {text: as_dict(self.interval(gallery, view=text)) for text in TEXTS if self.has_view(text)}
                for gallery in GALLERIES
            },
            "glances": {
                gallery: {view: as_dict(self.interval(gallery, view=view)) for view in GLANCES if self.has_view(view)}
                for gallery in GALLERIES
            },
            "targets": {name: as_dict(self.among(chosen)) for name, chosen in target_groups(self.benchmark).items()},
            "grounding": grounding,
            "seconds_per_1k_queries": first.seconds_per_1k_queries,
            "seconds_per_1k_items": first.seconds_per_1k_items,
        }

    def more_figures(self) -> list[dict[str, Any]]:
        """Return grounding, and Recall@1 with other texts and single glances, for a record."""
        figures: list[dict[str, Any]] = []
        for gallery in GALLERIES:
            for measure in MEASURES:
                value = self.grounding(gallery, measure)
                if value is not None:
                    figures.append(
                        {"part": gallery, "metric": measure, **value[0]._asdict(), "chance": float(value[1])}
                    )
            names = {text: f"{text} text" for text in TEXTS[1:]} | {view: view.replace("_", " ") for view in GLANCES}
            figures += [
                {
                    "part": gallery,
                    "metric": self.main,
                    "view": name,
                    **self.interval(gallery, view=view)._asdict(),
                }
                for view, name in names.items()
                if self.has_view(view)
            ]
        return figures


def grounding_cell(scored: IMMRScored, gallery: str, measure: str, *, chance: bool = False) -> str:
    """Format a grounding score, optionally with chance."""
    value = scored.grounding(gallery, measure)
    if value is None:
        return "–"
    return f"{interval_text(value[0])}, chance {value[1]:.1f}" if chance else interval_text(value[0])


def grounding_section(systems: Mapping[str, IMMRScored]) -> list[str]:
    """Return the section about grounding maps and extents; nothing if no system has any."""
    note = (
        "Pointing: how often the map peaks inside the true box. Box mass: how much of the map lies inside it. Extent "
        "IoU: overlap of the true box and the extent, where the second glance looks. Percent; chance is the score of "
        "a uniform map."
    )
    parts = []
    for measure, label in MEASURES.items():
        measured = {
            name: scored
            for name, scored in systems.items()
            if any(scored.grounding(gallery, measure) for gallery in GALLERIES)
        }
        columns = {
            gallery.capitalize(): lambda scored, gallery=gallery, measure=measure: grounding_cell(
                scored, gallery, measure, chance=True
            )
            for gallery in GALLERIES
        }
        if measured:
            parts.append(systems_table(measured, columns, label))
    return ["## Grounding", note, *parts] if parts else []


def glance_section(systems: Mapping[str, IMMRScored]) -> list[str]:
    """Return the section about the two glances; nothing if no system has them."""
    looking_twice = {name: scored for name, scored in systems.items() if scored.has_view("second_glance")}
    if not looking_twice:
        return []
    columns = {
        f"{gallery.capitalize()}, {label}": lambda scored, gallery=gallery, view=view: interval_text(
            scored.interval(gallery, view=view)
        )
        for gallery in GALLERIES
        for view, label in _GLANCE_LABELS.items()
    }
    return [
        "## Glances",
        "Recall@1 in percent with both glances, and with either alone.",
        systems_table(looking_twice, columns),
    ]


def robustness_section(systems: Mapping[str, IMMRScored]) -> list[str]:
    """Return the section with Recall@1 by item text, by target area and by number of distractors."""
    # A tower that ignores text gives every text the same rank.
    named = {
        name if scored.has_view("missing") else f"{name} (ignores text)": scored for name, scored in systems.items()
    }
    parts = ["## Robustness", "Recall@1 in percent."]
    for gallery in GALLERIES:
        columns = {
            label: lambda scored, text=text, gallery=gallery: interval_text(
                scored.interval(gallery, view=text if scored.has_view(text) else "own")
            )
            for text, label in _TEXT_LABELS.items()
        }
        parts.append(systems_table(named, columns, f"item text, {gallery.capitalize()} gallery"))
    groups = target_groups(next(iter(systems.values())).benchmark)
    targets = {
        f"{name} (n = {chosen.sum()})": lambda scored, chosen=chosen: interval_text(scored.among(chosen))
        for name, chosen in groups.items()
        if chosen.any()
    }
    return [*parts, systems_table(systems, targets, "target in the mosaic")]


def target_groups(benchmark: IMMRBenchmark) -> dict[str, np.ndarray]:
    """Group queries by the area of their target in its mosaic and by the number of distractors: name -> bool `[Q]`."""
    rows = mosaic_rows(benchmark)
    areas = np.array(benchmark.mosaic["target_area"])[rows]
    distractors = np.array([len(others) for others in benchmark.mosaic["distractors"]])[rows]
    groups = {name: (areas >= low) & (areas < high) for low, high, name in _AREAS}
    counts = {
        f"{count} distractor{'s' if count > 1 else ''}": distractors == count for count in sorted(set(distractors))
    }
    return groups | counts


def mosaic_rows(benchmark: IMMRBenchmark) -> np.ndarray:
    """Return the row of each query's product in the galleries `[Q]`."""
    row_of = {item_id: row for row, item_id in enumerate(benchmark.mosaic["item_id"])}
    return np.array([row_of[item_id] for item_id in benchmark.queries["item_id"]])


def cost_section(systems: Mapping[str, IMMRScored]) -> str:
    """Return the table of parameters, operations and times."""
    towers = ("query", "item")
    columns: dict[str, Callable[[IMMRScored], str]] = {
        **{f"{tower} parameters": parameters_of(tower) for tower in towers},
        **{f"{tower} GFLOPs": gflops_of(tower) for tower in towers},
        "training, minutes": minutes_text,
        "s per 1,000 queries": lambda scored: f"{scored.results[0].scores.seconds_per_1k_queries:.1f}",
        "s per 1,000 items": lambda scored: f"{scored.results[0].scores.seconds_per_1k_items:.1f}",
    }
    note = (
        "Parameters that an embedding depends on; the towers share the vision encoder. Floating-point operations for "
        "one picture (a multiplication and an addition count as two), items with a text of median length. Times are "
        "wall-clock and include decoding."
    )
    return f"{note}\n\n{systems_table(systems, columns)}"
