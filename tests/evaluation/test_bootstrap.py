"""Bootstrap intervals: coverage, seeds, clusters, pairing."""

import numpy as np
import pytest

from tiger_fg_hf.evaluation import bootstrap
from tiger_fg_hf.evaluation.bootstrap import bootstrap_interval, paired_bootstrap


def test_interval_matches_normal_theory():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=1000)
    mean, low, high = bootstrap_interval(values, resamples=5000)
    half_width = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half_width, mean + half_width), abs=0.1 * half_width)


def test_interval_covers_at_about_its_confidence():
    generator = np.random.default_rng(0)
    samples = (generator.random((200, 100)) < 0.3).astype(float)
    intervals = [bootstrap_interval(sample, resamples=400, seed=i) for i, sample in enumerate(samples)]
    covered = np.mean([low <= 0.3 <= high for _, low, high in intervals])
    assert 0.88 <= covered <= 0.99


def test_seed_fixes_the_interval_whatever_the_chunks(monkeypatch):
    values = np.random.default_rng(0).random(50)
    first = bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=5) != first
    monkeypatch.setattr(bootstrap, "_BATCH_ELEMENTS", 64)
    assert bootstrap_interval(values, seed=4) == first


def test_groups_widen_the_interval_of_repeated_values():
    values = np.random.default_rng(0).random(40)
    groups = [f"product-{i}" for i in range(40)]
    single = bootstrap_interval(values)
    # 25 copies of each query add no information.
    naive = bootstrap_interval(np.repeat(values, 25))
    grouped = bootstrap_interval(np.repeat(values, 25), groups=np.repeat(groups, 25).tolist())
    assert grouped == pytest.approx(single)
    assert naive.high - naive.low < 0.4 * (grouped.high - grouped.low)


def test_uneven_groups_keep_the_mean_over_queries():
    values, groups = np.array([0.0, 0.0, 0.0, 1.0]), ["a", "a", "a", "b"]
    mean, low, high = bootstrap_interval(values, groups=groups)
    assert (mean, low, high) == (0.25, 0.0, 1.0)


def test_constant_and_single_values_have_no_width():
    assert bootstrap_interval([1.0, 1.0, 1.0]) == (1.0, 1.0, 1.0)
    assert bootstrap_interval([0.5]) == (0.5, 0.5, 0.5)


def test_pairing_finds_a_small_steady_gain():
    generator = np.random.default_rng(0)
    base = generator.random(500)
    better = base + 0.01 + generator.normal(0, 0.02, size=500)
    difference, low, high, p = paired_bootstrap(better, base)
    assert difference == pytest.approx((better - base).mean())
    assert 0 < low < difference < high
    assert p == pytest.approx(2 / 2001)
    assert paired_bootstrap(base, better)[0] == pytest.approx(-difference)
    # Unpaired, the spread between queries hides the same gain.
    assert bootstrap_interval(base).high > bootstrap_interval(better).low


def test_pairing_of_equals_shows_nothing():
    values = np.random.default_rng(0).random(100)
    assert paired_bootstrap(values, values) == (0.0, 0.0, 0.0, 1.0)
    noise = np.random.default_rng(1).normal(size=100)
    assert paired_bootstrap(values + noise - noise.mean(), values).p > 0.5


def test_errors():
    with pytest.raises(ValueError, match="Q >= 1"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match=r"values\[1\] is nan"):
        bootstrap_interval([0.0, float("nan")])
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([0.0], confidence=95)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([0.0], resamples=0)
    with pytest.raises(ValueError, match="one label per value"):
        bootstrap_interval([0.0, 1.0], groups=["a"])
    with pytest.raises(ValueError, match="must pair up, got 2 and 1"):
        paired_bootstrap([0.0, 1.0], [0.0])
