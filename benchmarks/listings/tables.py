"""Tables of the listing benchmark's report, and the numbers behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval, PairedBootstrap, bootstrap_interval, paired_bootstrap
from tiger_fg_hf.synthetic.overlays import LEVELS

from ..harness.seeds import common_seeds, seeds_text
from ..harness.text import difference_text, interval_text, table
from .arguments import Setup
from .results import Result
from .run import grid_scores, selected_rate
from .systems import OURS

METRICS = {"hit_rate@1": "H@1", "hit_rate@10": "H@10", "hit_rate@100": "H@100", "mrr": "MRR"}
MAIN = "hit_rate@10"
"""What charts, differences and drops are told of."""


class Scored:
    """A system's results by seed; with several, the mean of every query over them."""

    def __init__(self, ids: Sequence[str], by_seed: Mapping[int, Result]):
        self.ids, self.by_seed = list(ids), dict(by_seed)

    @property
    def results(self) -> list[Result]:
        """Those of every seed."""
        return list(self.by_seed.values())

    def of_seeds(self, seeds: Iterable[int]) -> "Scored":
        """The same of some seeds."""
        return Scored(self.ids, {seed: self.by_seed[seed] for seed in seeds})

    def values(self, level: str, metric: str = MAIN, *, wrong_titles: bool = False) -> np.ndarray:
        """`[Q]` in percent, of the queries as they are or with wrong titles."""
        found = [result.wrong_titles if wrong_titles else result.metrics for result in self.results]
        return 100 * np.mean([metrics[level][metric] for metrics in found], axis=0)

    def interval(self, level: str, metric: str = MAIN) -> BootstrapInterval:
        return bootstrap_interval(self.values(level, metric), groups=self.ids)

    def drop(self, metric: str = MAIN) -> PairedBootstrap:
        """Clean minus heavy, product by product."""
        return paired_bootstrap(self.values("clean", metric), self.values("heavy", metric), groups=self.ids)

    def minus(self, other: "Scored", level: str, metric: str = MAIN) -> dict[str, float | None]:
        """Paired difference in points, and as percent of the other's mean (None where that is 0); of equal seeds."""
        assert self.by_seed.keys() == other.by_seed.keys()
        theirs = other.values(level, metric)
        found = paired_bootstrap(self.values(level, metric), theirs, groups=self.ids)
        return {**found._asdict(), "relative": 100 * found.difference / theirs.mean() if theirs.mean() else None}

    @property
    def has_wrong_titles(self) -> bool:
        return all(result.wrong_titles for result in self.results)

    @property
    def has_gates(self) -> bool:
        return all(result.gates for result in self.results)

    def gates(self, level: str, title: str, name: str) -> np.ndarray:
        """`"agreement"`, or mean `β` of the `"metadata"` or `"exploratory"` gate, `[Q]`, with a kind of titles."""
        return np.mean([getattr(result.gates[level][title], name) for result in self.results], axis=0)


def metrics_table(systems: Mapping[str, Scored], level: str) -> str:
    """Every metric at a level."""
    rows = [
        [f"`{name}`", *(interval_text(found.interval(level, metric)) for metric in METRICS)]
        for name, found in systems.items()
    ]
    return table(["system", *METRICS.values()], rows)


def drop_table(systems: Mapping[str, Scored]) -> str:
    """What promotional overlays cost."""
    rows = []
    for name, found in systems.items():
        drop, clean = found.drop(), found.values("clean").mean()
        share = f"{100 * drop.difference / clean:.1f}%" if clean else "–"
        means = [f"{found.values(level).mean():.1f}" for level in LEVELS]
        rows.append([f"`{name}`", *means, interval_text(BootstrapInterval(*drop[:3])), share])
    return table(["system, H@10", *LEVELS, "clean − heavy", "of clean"], rows)


def wrong_title_table(systems: Mapping[str, Scored]) -> str:
    """What is left where a query has the title of a product of another category, and what that costs."""
    rows = []
    for name, found in systems.items():
        cells = [f"`{name}`"]
        for level in LEVELS:
            wrong = found.values(level, wrong_titles=True)
            lost = paired_bootstrap(found.values(level), wrong, groups=found.ids).difference
            cells.append(f"{interval_text(bootstrap_interval(wrong, groups=found.ids))} ({-lost:+.1f})")
        rows.append(cells)
    return table(["system", *(f"H@10, {level} (change)" for level in LEVELS)], rows)


def paired_numbers(systems: Mapping[str, Scored]) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """
    Differences of TGQ-Former from every other system, by `"ours - other"`, level and metric.

    Of the seeds that both have run; a system without any of TGQ-Former's is left out.
    """
    numbers = {}
    for name, found in systems.items():
        if name != OURS and OURS in systems and (seeds := common_seeds([systems[OURS], found])):
            ours, other = systems[OURS].of_seeds(seeds), found.of_seeds(seeds)
            numbers[f"{OURS} - {name}"] = {
                level: {metric: ours.minus(other, level, metric) for metric in METRICS} for level in LEVELS
            }
    return numbers


def paired_table(systems: Mapping[str, Scored], paired: Mapping[str, Any]) -> str:
    """Differences in H@10: points, interval, p, and relative; of which seeds."""
    rows = []
    for name, found in systems.items():
        if f"{OURS} - {name}" in paired:
            cells = [paired[f"{OURS} - {name}"][level][MAIN] for level in LEVELS]
            told = [f"{difference_text(cell)} ({_relative(cell)})" for cell in cells]
            rows.append([f"`{name}`", *told, seeds_text(common_seeds([systems[OURS], found]))])
    return table([f"`{OURS}` minus, H@10", *LEVELS, "seeds"], rows)


def _relative(cell: Mapping[str, float | None]) -> str:
    return "–" if cell["relative"] is None else f"{cell['relative']:+.1f}%"


def ablation_table(systems: Mapping[str, Scored]) -> str:
    """H@10 of TGQ-Former and of its ablations, and what changes without the part."""
    paired = paired_numbers(systems)
    rows = []
    for name, found in systems.items():
        cells = [f"`{name}`"]
        for level in LEVELS:
            text = interval_text(found.interval(level))
            change = paired.get(f"{OURS} - {name}", {}).get(level, {}).get(MAIN)
            if change is not None:
                # Signs turned: what is lost or gained without the part. 0 - x, as -x can be -0.
                lost, low, high = (0 - change[part] for part in ("difference", "high", "low"))
                text += f" ({lost:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(text)
        rows.append([*cells, f"{found.results[0].cost['connector']['parameters'] / 1e6:.2f} M"])
    return table(["system", *(f"H@10, {level} (change)" for level in LEVELS), "connector parameters"], rows)


def summary_table(systems: Mapping[str, Scored]) -> str:
    """H@10 at every level, what overlays cost, and what the connector costs."""
    rows = []
    for name, found in systems.items():
        result = found.results[0]
        minutes = np.mean([result.training["seconds"] for result in found.results]) / 60
        cells = [
            *(interval_text(found.interval(level)) for level in LEVELS),
            interval_text(BootstrapInterval(*found.drop()[:3])),
        ]
        told = [seeds_text(found.by_seed), f"{result.cost['connector']['gflops']:.3f}", f"{minutes:.1f}"]
        rows.append([f"`{name}`", *cells, *told])
    head = ["system, H@10", *LEVELS, "clean − heavy", "seeds", "connector GFLOPs", "training, minutes"]
    return table(head, rows)


def cost_table(systems: Mapping[str, Scored]) -> str:
    """Parameters, operations and times."""
    rows = []
    for name, found in systems.items():
        first = found.results[0]
        minutes = np.mean([result.training["seconds"] for result in found.results]) / 60
        rows.append(
            [
                f"`{name}`",
                f"{first.cost['connector']['parameters'] / 1e6:.2f} M",
                f"{first.training['trainable'] / 1e6:.2f} M",
                f"{first.cost['item']['parameters'] / 1e6:.2f} M",
                f"{first.cost['connector']['gflops']:.3f}",
                f"{first.cost['item']['gflops']:.2f}",
                f"{minutes:.1f}",
                f"{np.mean([result.seconds_per_1k for result in found.results]):.1f}",
            ]
        )
    head = ["system", "connector parameters", "trained parameters", "parameters of an item", "connector GFLOPs"]
    head += ["GFLOPs of an item", "training, minutes", "s per 1,000 listings"]
    note = (
        "Parameters that an embedding depends on; those trained are of the connector, the temperature and what of the "
        "language model learns. Floating-point operations of one listing with a text of median length, a "
        "multiplication and an addition being two. Times are wall-clock, on a machine that may have been busy: "
        "training without the frozen dual encoder, whose outputs are kept, embedding with it and with decoding."
    )
    return f"{note}\n\n{table(head, rows)}"


def seeds_table(systems: Mapping[str, Scored]) -> str:
    """H@10 of every seed."""
    seeds = sorted({seed for found in systems.values() for seed in found.by_seed})
    rows = []
    for name, found in systems.items():
        cells = [
            f"{100 * found.by_seed[seed].summary[level][MAIN]:.1f}" if seed in found.by_seed else "–"
            for level in LEVELS
            for seed in seeds
        ]
        rows.append([f"`{name}`", *cells])
    head = ["system, H@10", *(f"{level}, seed {seed}" for level in LEVELS for seed in seeds)]
    return f"Every number elsewhere is a mean over a system's seeds.\n\n{table(head, rows)}"


def rates_table(setup: Setup, systems: Mapping[str, Any]) -> str:
    """What every system scored at every learning rate, and which it took."""
    if len(setup.rates) == 1:
        return f"Every connector learns at {setup.rates[0]:g}."
    rows = []
    for name in systems:
        scores, best = grid_scores(setup, name), selected_rate(setup, name)
        cells = [f"{100 * scores[rate]:.1f}" if rate in scores else "–" for rate in setup.rates]
        rows.append([f"`{name}`", *cells, "–" if best is None else f"{best:g}"])
    note = (
        "Mean H@10 over the levels of the validation benchmark, percent, after the short trial that every system had "
        "at every rate."
    )
    return f"{note}\n\n{table(['system', *(f'{rate:g}' for rate in setup.rates), 'taken'], rows)}"


def gate_numbers(found: Scored) -> dict[str, dict[str, Any]]:
    """
    By level, for each of `metadata`, `exploratory` and `agreement`: the mean with own and with mismatched titles and
    their paired difference, with bounds; and Pearson's correlation of the metadata gate with agreement over both.
    Nothing for a connector without the gates.
    """
    if not found.has_gates:
        return {}
    numbers: dict[str, dict[str, Any]] = {}
    for level in LEVELS:
        values = {
            name: [found.gates(level, title, name) for title in ("own", "mismatched")]
            for name in ("metadata", "exploratory", "agreement")
        }
        numbers[level] = {
            name: {
                "own": bootstrap_interval(own, groups=found.ids)._asdict(),
                "mismatched": bootstrap_interval(mismatched, groups=found.ids)._asdict(),
                "difference": paired_bootstrap(own, mismatched, groups=found.ids)._asdict(),
            }
            for name, (own, mismatched) in values.items()
        }
        beta, agreement = (np.concatenate(values[name]) for name in ("metadata", "agreement"))
        constant = np.ptp(beta) == 0 or np.ptp(agreement) == 0
        numbers[level]["correlation"] = None if constant else float(np.corrcoef(beta, agreement)[0, 1])
    return numbers


def gate_table(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """What [`gate_numbers`] tells."""
    labels = {
        "metadata": "mean β, metadata gate",
        "exploratory": "mean β, exploratory gate",
        "agreement": "agreement",
    }
    rows = []
    for level, told in numbers.items():
        for name, label in labels.items():
            own, other, change = (told[name][part] for part in ("own", "mismatched", "difference"))
            bounds = f"[{change['low']:+.4f}, {change['high']:+.4f}], p = {change['p']:.3f}"
            correlation = told["correlation"] if name == "metadata" else None
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


def system_numbers(found: Scored) -> dict[str, Any]:
    """All that the tables tell of a system."""
    return {
        "metrics": {
            level: {metric: found.interval(level, metric)._asdict() for metric in METRICS} for level in LEVELS
        },
        "wrong_titles": {
            level: bootstrap_interval(found.values(level, wrong_titles=True), groups=found.ids)._asdict()
            for level in LEVELS
            if found.has_wrong_titles
        },
        "drop": {metric: found.drop(metric)._asdict() for metric in METRICS},
        "gates": gate_numbers(found),
        "cost": found.results[0].cost,
        "runs": [
            {
                "seed": seed,
                "rate": result.settings["rate"],
                "summary": result.summary,
                "training": result.training,
                "seconds_per_1k": result.seconds_per_1k,
            }
            for seed, result in found.by_seed.items()
        ],
    }
