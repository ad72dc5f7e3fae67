"""Percentile bootstrap intervals for means over queries, alone or paired between two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_CHUNK_ELEMENTS = 1 << 22


class BootstrapInterval(NamedTuple):
    """A mean and the bounds of its percentile interval."""

    mean: float
    low: float
    high: float


class PairedBootstrap(NamedTuple):
    """Mean of `a - b`, the bounds of its percentile interval, and a two-sided p-value in (0, 1]."""

    difference: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    values: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> BootstrapInterval:
    """Percentile bootstrap interval of a mean.

    The interval says how the mean would move with other queries of the same kind. Where every value is equal it has
    no width, however few the values are.

    Args:
        values: [Q] finite numbers, one per query.
        confidence: coverage in (0, 1).
        resamples: bootstrap resamples, at least 1.
        seed: the same seed gives the same interval.
        groups: [Q] labels (such as product ids). Whole groups are then resampled: queries of one product are alike,
            and resampling them singly would make the interval too narrow.

    Returns:
        The mean of `values` and the bounds.

    Raises:
        ValueError: no values, values not [Q] or not finite, or an argument out of range.
    """
    values = _check_values("values", values)
    means = _resampled_means(values, groups, confidence, resamples, seed)
    return BootstrapInterval(float(values.mean()), *_bounds(means, confidence))


def paired_bootstrap(
    values_a: npt.ArrayLike,
    values_b: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> PairedBootstrap:
    """Bootstrap of the mean difference between two models on the same queries.

    p is twice the smaller share of resamples whose difference lies on either side of zero (zero counts to both), with
    one added to count and total so that it is never 0: the smallest value is 2 / (resamples + 1).

    Args:
        values_a: [Q], one value per query under the first model.
        values_b: [Q], the same queries in the same order under the second.
        confidence, resamples, seed, groups: as in `bootstrap_interval`.

    Returns:
        Mean of `values_a - values_b`, its bounds and p.

    Raises:
        ValueError: as in `bootstrap_interval`, or lengths differ.
    """
    values_a, values_b = _check_values("values_a", values_a), _check_values("values_b", values_b)
    if len(values_a) != len(values_b):
        raise ValueError(f"values_a and values_b must pair up, got {len(values_a)} and {len(values_b)} values")
    differences = values_a - values_b
    means = _resampled_means(differences, groups, confidence, resamples, seed)
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return PairedBootstrap(float(differences.mean()), *_bounds(means, confidence), p)


def _check_values(name: str, values: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must have shape [Q] with Q >= 1, got {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise ValueError(f"{name}[{row}] is {array[row]}; every value must be finite")
    return array


def _bounds(means: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resampled_means(
    values: np.ndarray, groups: Sequence[object] | None, confidence: float, resamples: int, seed: int
) -> np.ndarray:
    """Means [resamples] of resampled values: whole groups are drawn, each query weighing the same."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if groups is None:
        sums, sizes = values, np.ones_like(values)
    else:
        if len(groups) != len(values):
            raise ValueError(f"groups must hold one label per value, got {len(groups)} for {len(values)} values")
        number = {label: index for index, label in enumerate(dict.fromkeys(groups))}
        members = np.fromiter((number[label] for label in groups), dtype=np.int64, count=len(values))
        sums, sizes = np.bincount(members, weights=values), np.bincount(members).astype(np.float64)

    generator = np.random.default_rng(seed)
    per_chunk = max(1, _CHUNK_ELEMENTS // len(sums))
    means = np.empty(resamples)
    for first in range(0, resamples, per_chunk):
        chunk = means[first : first + per_chunk]
        drawn = generator.integers(0, len(sums), size=(len(chunk), len(sums)))
        chunk[:] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means
