"""Systems with different seeds are compared on the seeds that they share."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.harness.scored import Scored, common_seeds, comparable, paired_numbers
from benchmarks.harness.tables import ablation_table, paired_table, seeds_table

IDS = [f"id{row}" for row in range(40)]


class TinyScored(Scored):
    parts = ("easy", "hard")
    metrics = {"hit": "H"}
    main = "hit"

    def per_query(self, result, part, metric, view):
        return np.full(len(IDS), result.summary[part][metric])


def scores(**means: float) -> TinyScored:
    """Every query of seeds `s0`, `s1`, ... scores the same."""
    results = {
        int(name[1:]): SimpleNamespace(summary={part: {"hit": mean} for part in TinyScored.parts})
        for name, mean in means.items()
    }
    return TinyScored(IDS, results)


def test_differences_use_common_seeds():
    ours = scores(s0=0.5, s1=0.8, s2=0.9)
    others = {"mlp": scores(s0=0.4, s2=0.7), "no_gate": scores(s0=0.6), "late": scores(s3=0.1)}
    systems = {"ours": ours, **others}
    paired = paired_numbers(systems, "ours")
    differences = {name: parts["hard"]["hit"]["difference"] for name, parts in paired.items()}
    assert differences == pytest.approx({"ours - mlp": 15, "ours - no_gate": -10})
    assert paired["ours - mlp"]["easy"]["hit"]["relative"] == pytest.approx(100 * 15 / 55)
    rows = paired_table(systems, paired, "ours").splitlines()
    assert [row.split("|")[-2].strip() for row in rows[2:]] == ["0, 2", "0"]

    shown, note = comparable({"ours": ours, "no_gate": others["no_gate"]})
    assert note == "Only the seeds that all of these systems have run: 0."
    full, without = ablation_table(shown, paired_numbers(shown, "ours"), "ours").splitlines()[2:]
    assert full.split("|")[2].strip() == "50.0 [50.0, 50.0]"
    assert without.split("|")[2].strip() == "60.0 [60.0, 60.0] (+10.0 [+10.0, +10.0])"


def test_a_table_shows_every_seed():
    rows = seeds_table({"a": scores(s0=0.1), "b": scores(s1=0.3)}).splitlines()
    assert [cell.strip() for cell in rows[-1].split("|")[2:-1]] == ["–", "30.0", "–", "30.0"]


def test_seeds_in_common():
    systems = {"a": scores(s0=0.1, s1=0.2), "b": scores(s1=0.3, s0=0.4)}
    assert common_seeds(systems.values()) == [0, 1]
    assert comparable(systems)[1] == ""
    apart = {**systems, "c": scores(s5=0.1)}
    assert comparable(apart) == (apart, "No seed has been run by all of these systems.")
