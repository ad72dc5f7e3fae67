"""Percentile bootstrap of means over queries, for one model or paired between two models.

`scipy.stats.bootstrap` does the resampling. This module adds cluster resampling (queries of one product are drawn
together), a p-value for paired differences, and checks of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Values per batch of resamples: bounds the memory.
_BATCH_ELEMENTS = 1 << 22


class BootstrapInterval(NamedTuple):
    """A mean and its percentile interval.

    Attributes:
        mean: mean of the values.
        low, high: bounds of the interval.
    """

    mean: float
    low: float
    high: float


class PairedBootstrap(NamedTuple):
    """A mean difference with its percentile interval and p-value.

    Attributes:
        difference: mean of `a - b`.
        low, high: bounds of the interval.
        p: two-sided p-value in (0, 1].
    """

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
    """Compute the percentile bootstrap interval of a mean.

    The interval estimates how the mean would vary with other queries of the same kind. It has no width if all values
    are equal, however few there are.

    Args:
        values: `[Q]` finite numbers, one per query.
        confidence: coverage in (0, 1).
        resamples: number of resamples, at least 1.
        seed: seed of the resamples.
        groups: `[Q]` labels, such as product ids. Groups are resampled together, because queries of one product are
            correlated and would otherwise make the interval too narrow.

    Returns:
        The mean and its bounds.

    Raises:
        ValueError: if there are no values, values are not `[Q]` or not finite, or an argument is out of range.

    Example:
        >>> from tiger_fg_hf.evaluation.bootstrap import bootstrap_interval
        >>> mean, low, high = bootstrap_interval([0, 1, 1, 1, 0, 1, 1, 0], groups="aabbccdd")
        >>> low < mean < high
        True
    """
    values = _check_values("values", values)
    resampled = _resample(values, groups, confidence, resamples, seed)
    return BootstrapInterval(float(values.mean()), *_bounds(resampled))


def paired_bootstrap(
    values_a: npt.ArrayLike,
    values_b: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> PairedBootstrap:
    """Compute the bootstrap of the mean difference between two models on the same queries.

    p is twice the smaller share of resamples on either side of zero, where zero counts for both sides. One is added to
    count and total, so p is never 0: its smallest value is 2 / (resamples + 1).

    Args:
        values_a: `[Q]` values of the first model.
        values_b: `[Q]` values of the second model on the same queries in the same order.
        confidence: see [`bootstrap_interval`].
        resamples: see [`bootstrap_interval`].
        seed: see [`bootstrap_interval`].
        groups: see [`bootstrap_interval`].

    Returns:
        Mean of `values_a - values_b`, its bounds and p.

    Raises:
        ValueError: see [`bootstrap_interval`]; also if the lengths differ.

    Example:
        >>> from tiger_fg_hf.evaluation.bootstrap import paired_bootstrap
        >>> paired_bootstrap([1, 1, 1, 1], [1, 0, 0, 1]).difference
        0.5
    """
    values_a, values_b = _check_values("values_a", values_a), _check_values("values_b", values_b)
    if len(values_a) != len(values_b):
        raise ValueError(f"values_a and values_b must pair up, got {len(values_a)} and {len(values_b)} values")
    differences = values_a - values_b
    resampled = _resample(differences, groups, confidence, resamples, seed)
    means = resampled.bootstrap_distribution
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return PairedBootstrap(float(differences.mean()), *_bounds(resampled), p)


def _check_values(name: str, values: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must have shape [Q] with Q >= 1, got {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise ValueError(f"{name}[{row}] is {array[row]}; every value must be finite")
    return array


def _bounds(resampled: Any) -> tuple[float, float]:
    return float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)


def _resample(
    values: np.ndarray, groups: Sequence[object] | None, confidence: float, resamples: int, seed: int
) -> Any:
    """Bootstrap the mean with SciPy: sums and sizes of groups are drawn as pairs, the statistic is their ratio."""
    from scipy.stats import bootstrap  # slow to import

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    labels = range(len(values)) if groups is None else groups
    if len(labels) != len(values):
        raise ValueError(f"groups must hold one label per value, got {len(labels)} for {len(values)} values")
    number = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    members = np.fromiter((number[label] for label in labels), dtype=np.int64, count=len(values))
    sums, sizes = np.bincount(members, weights=values), np.bincount(members).astype(np.float64)
    if len(sums) == 1:  # SciPy refuses a single observation
        sums, sizes = np.repeat(sums, 2), np.repeat(sizes, 2)
    return bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, _BATCH_ELEMENTS // len(sums)),
        rng=np.random.default_rng(seed),
    )
