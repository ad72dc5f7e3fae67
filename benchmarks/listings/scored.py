"""Scores and tables that only the listings benchmark has: overlays, wrong titles and gates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval, PairedBootstrap, bootstrap_interval, paired_bootstrap
from tiger_fg_hf.synthetic.overlays import LEVELS

from ..harness.scored import Scored, seeds_text
from ..harness.tables import (
    gflops_of,
    interval_columns,
    interval_text,
    minutes_text,
    parameters_of,
    systems_table,
    table,
)
from .results import ListingsResult

WRONG_TITLES = "wrong titles"
_GATE_LABELS = {
    "metadata": "mean β, metadata gate",
    "exploratory": "mean β, exploratory gate",
    "agreement": "agreement",
}


class ListingsScored(Scored):
    """Scores of a system at three levels of promotional overlays."""

    parts = LEVELS
    metrics = {"hit_rate@1": "H@1", "hit_rate@10": "H@10", "hit_rate@100": "H@100", "mrr": "MRR"}
    main = "hit_rate@10"

    def per_query(self, result: ListingsResult, part: str, metric: str, view: str) -> np.ndarray:
        """Return `[Q]` scores in [0, 1]; `view` is `"own"` or `WRONG_TITLES`."""
        return (result.wrong_titles if view == WRONG_TITLES else result.metrics)[part][metric]

    def drop(self, metric: str | None = None) -> PairedBootstrap:
        """Return the paired difference of clean and heavy overlays."""
        return paired_bootstrap(self.values("clean", metric), self.values("heavy", metric), groups=self.ids)

    @property
    def has_wrong_titles(self) -> bool:
        """Whether queries were scored with wrong titles too."""
        return all(result.wrong_titles for result in self.results)

    @property
    def has_gates(self) -> bool:
        """Whether the connector has both gates."""
        return all(result.gates for result in self.results)

    def gates(self, level: str, title: str, name: str) -> np.ndarray:
        """Return `"agreement"`, or the mean `β` of the `"metadata"` or `"exploratory"` gate, `[Q]`."""
        return np.mean([getattr(result.gates[level][title], name) for result in self.results], axis=0)

    @property
    def seconds_per_1k(self) -> float:
        """Mean seconds to embed 1,000 listings."""
        return float(np.mean([result.seconds_per_1k for result in self.results]))

    def numbers(self) -> dict[str, Any]:
        """Return wrong titles, drops and gates for `results.json`."""
        return {
            "wrong_titles": {
                level: self.interval(level, view=WRONG_TITLES)._asdict() for level in LEVELS if self.has_wrong_titles
            },
            "drop": {metric: self.drop(metric)._asdict() for metric in self.metrics},
            "gates": gate_numbers(self),
            "seconds_per_1k": self.seconds_per_1k,
        }

    def more_figures(self) -> list[dict[str, Any]]:
        """Return H@10 with wrong titles, for a record."""
        if not self.has_wrong_titles:
            return []
        return [
            {
                "part": level,
                "metric": self.main,
                "view": WRONG_TITLES,
                **self.interval(level, view=WRONG_TITLES)._asdict(),
            }
            for level in LEVELS
        ]


def drop_table(systems: Mapping[str, ListingsScored]) -> str:
    """H@10 at every level, and the loss from promotional overlays."""

    def share(scored: ListingsScored) -> str:
        clean = scored.values("clean").mean()
        return f"{100 * scored.drop().difference / clean:.1f}%" if clean else "–"

    columns = {
        **{level: lambda scored, level=level: f"{scored.values(level).mean():.1f}" for level in LEVELS},
        "clean − heavy": _drop_text,
        "of clean": share,
    }
    return systems_table(systems, columns, "system, H@10")


def wrong_title_table(systems: Mapping[str, ListingsScored]) -> str:
    """H@10 with wrong titles, and the change from own titles."""

    def cell(scored: ListingsScored, level: str) -> str:
        wrong = scored.values(level, view=WRONG_TITLES)
        lost = paired_bootstrap(scored.values(level), wrong, groups=scored.ids).difference
        return f"{interval_text(bootstrap_interval(wrong, groups=scored.ids))} ({-lost:+.1f})"

    columns = {f"H@10, {level} (change)": lambda scored, level=level: cell(scored, level) for level in LEVELS}
    return systems_table(systems, columns)


def summary_table(systems: Mapping[str, ListingsScored]) -> str:
    """H@10 at every level, the loss from overlays, and the cost of the connector."""
    columns = {
        **interval_columns(LEVELS),
        "clean − heavy": _drop_text,
        "seeds": lambda scored: seeds_text(scored.by_seed),
        "connector GFLOPs": gflops_of("connector", 3),
        "training, minutes": minutes_text,
    }
    return systems_table(systems, columns, "system, H@10")


def cost_table(systems: Mapping[str, ListingsScored]) -> str:
    """Parameters, operations and times."""
    columns = {
        "connector parameters": parameters_of("connector"),
        "trained parameters": lambda scored: f"{scored.results[0].training['trainable'] / 1e6:.2f} M",
        "parameters of an item": parameters_of("item"),
        "connector GFLOPs": gflops_of("connector", 3),
        "GFLOPs of an item": gflops_of("item"),
        "training, minutes": minutes_text,
        "s per 1,000 listings": lambda scored: f"{scored.seconds_per_1k:.1f}",
    }
    note = (
        "Parameters that an embedding depends on; trained ones are those of the connector, the temperature and the "
        "trained part of the language model. Floating-point operations for one listing with a text of median length "
        "(a multiplication and an addition count as two). Times are wall-clock: training reads stored outputs of the "
        "frozen dual encoder, embedding includes the dual encoder and decoding."
    )
    return f"{note}\n\n{systems_table(systems, columns)}"


def _drop_text(scored: ListingsScored) -> str:
    return interval_text(BootstrapInterval(*scored.drop()[:3]))


def gate_numbers(scored: ListingsScored) -> dict[str, dict[str, Any]]:
    """Return gates and agreement by level; nothing for a connector without both gates.

    For each of `metadata`, `exploratory` and `agreement`: the mean with own and with mismatched titles, and their
    paired difference. `correlation` is Pearson's correlation of the metadata gate with agreement over both.
    """
    if not scored.has_gates:
        return {}
    numbers: dict[str, dict[str, Any]] = {}
    for level in LEVELS:
        values = {name: [scored.gates(level, title, name) for title in ("own", "mismatched")] for name in _GATE_LABELS}
        numbers[level] = {
            name: {
                "own": bootstrap_interval(own, groups=scored.ids)._asdict(),
                "mismatched": bootstrap_interval(mismatched, groups=scored.ids)._asdict(),
                "difference": paired_bootstrap(own, mismatched, groups=scored.ids)._asdict(),
            }
            for name, (own, mismatched) in values.items()
        }
        beta, agreement = (np.concatenate(values[name]) for name in ("metadata", "agreement"))
        constant = np.ptp(beta) == 0 or np.ptp(agreement) == 0
        numbers[level]["correlation"] = None if constant else float(np.corrcoef(beta, agreement)[0, 1])
    return numbers


def gate_table(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """Format the result of [`gate_numbers`]."""
    rows = []
    for level, measured in numbers.items():
        for name, label in _GATE_LABELS.items():
            own, other, change = (measured[name][part] for part in ("own", "mismatched", "difference"))
            bounds = f"[{change['low']:+.4f}, {change['high']:+.4f}], p = {change['p']:.3f}"
            correlation = measured["correlation"] if name == "metadata" else None
            rows.append(
                [
                    f"{level}: {label}",
                    f"{own['mean']:+.4f}",
                    f"{other['mean']:+.4f}",
                    f"{change['difference']:+.4f} {bounds}",
                    "–" if correlation is None else f"{correlation:+.2f}",
                ]
            )
    return table(["queries", "own titles", "mismatched titles", "own − mismatched", "r with agreement"], rows)
