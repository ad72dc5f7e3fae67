"""Where systems have run different seeds, the benchmarks compare those that they share."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.harness.seeds import common_seeds, comparable
from benchmarks.immr import tables as immr_tables
from benchmarks.listings import tables as listings_tables
from tiger_fg_hf.evaluation.immr_scores import GALLERIES
from tiger_fg_hf.synthetic.overlays import LEVELS

IDS = [f"id{row}" for row in range(40)]


def listing_scores(**means: float) -> listings_tables.Scored:
    """Of seeds `s0`, `s1`, ..., all metrics of every query."""

    def result(mean: float) -> SimpleNamespace:
        values = {metric: np.full(len(IDS), mean) for metric in listings_tables.METRICS}
        return SimpleNamespace(
            metrics=dict.fromkeys(LEVELS, values), cost={"connector": {"parameters": 1, "gflops": 1}}
        )

    return listings_tables.Scored(IDS, {int(name[1:]): result(mean) for name, mean in means.items()})


class ImmrScores(immr_tables.Scored):
    """Scores that are told and not measured."""

    def __init__(self, **means: float):
        self.ids, self.by_seed = IDS, {int(name[1:]): mean for name, mean in means.items()}

    def of_seeds(self, seeds) -> "ImmrScores":
        return ImmrScores(**{f"s{seed}": self.by_seed[seed] for seed in seeds})

    def values(self, gallery, metric="recall@1", text="own") -> np.ndarray:
        return np.full(len(IDS), 100 * np.mean(list(self.by_seed.values())))


def test_differences_of_listings_are_of_the_same_seeds():
    ours = listing_scores(s0=0.5, s1=0.8, s2=0.9)
    others = {"mlp": listing_scores(s0=0.4, s2=0.7), "no_gate": listing_scores(s0=0.6), "late": listing_scores(s3=0.1)}
    systems = {listings_tables.OURS: ours, **others}
    paired = listings_tables.paired_numbers(systems)
    found = {name: levels["heavy"]["mrr"]["difference"] for name, levels in paired.items()}
    assert found == pytest.approx({"tgq_former - mlp": 15, "tgq_former - no_gate": -10})
    rows = listings_tables.paired_table(systems, paired).splitlines()
    assert [row.split("|")[-2].strip() for row in rows[2:]] == ["0, 2", "0"]

    shown, note = comparable({listings_tables.OURS: ours, "no_gate": others["no_gate"]})
    assert note == "Of the seeds that all of these have run: 0."
    whole, without = listings_tables.ablation_table(shown).splitlines()[2:]
    assert whole.split("|")[2].strip() == "50.0 [50.0, 50.0]"
    assert without.split("|")[2].strip() == "60.0 [60.0, 60.0] (+10.0 [+10.0, +10.0])"


def test_differences_of_immr_are_of_the_same_seeds():
    systems = {"ours": ImmrScores(s0=0.5, s1=0.9), "late": ImmrScores(s1=0.6), "other": ImmrScores(s2=0.6)}
    paired = immr_tables.paired_numbers(systems, "ours")
    assert paired.keys() == {"ours - late"}
    assert [paired["ours - late"][gallery]["difference"] for gallery in GALLERIES] == pytest.approx([30, 30])


def test_seeds_in_common():
    systems = {"a": listing_scores(s0=0.1, s1=0.2), "b": listing_scores(s1=0.3, s0=0.4)}
    assert common_seeds(systems.values()) == [0, 1]
    assert comparable(systems)[1] == ""
    apart = {**systems, "c": listing_scores(s5=0.1)}
    assert comparable(apart) == (apart, "No seed that all of these have run.")
