"""95 % intervals, all with fixed random numbers: the same data give the same interval.

Means and ratios: BCa bootstrap (Efron 1987) over independent units, and Student's t on the linearised ratio where there are
so few units (two debates, say) that a bootstrap would be far too narrow. Shares of yes: Wilson (1927), which stays honest at 0
and 1, where the bootstrap collapses; means of such shares: see `mean_of_shares`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from preflab.interfaces import Measure

RESAMPLES = 2000
FEW = 12
"""Below this many units the bootstrap is not trusted."""
LEVEL = 0.95


def mean(values: Sequence[float]) -> Measure:
    """Mean of independent values."""
    return ratio(values, [1.0] * len(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Measure:
    """sum(numerators) / sum(denominators), one pair of numbers an independent unit: a prompt with several pairs, a document
    with several tokens. Units whose denominator is 0 count for nothing; nan if there is no other."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    top, bottom = top[bottom > 0], bottom[bottom > 0]
    if len(top) == 0:
        return Measure(math.nan)
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Measure(value, n=1)
    if np.ptp(top / bottom) == 0:  # every resample gives this value
        return Measure(value, value, value, len(top))
    if len(top) < FEW:
        half = _student(top - value * bottom) / float(bottom.sum())
        return Measure(value, value - half, value + half, len(top))
    low, high = _bootstrap(top, bottom, "BCa")
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = _bootstrap(top, bottom, "percentile")
    return Measure(value, low, high, len(top))


def within(measure: Measure, low: float, high: float) -> Measure:
    """The measure with an interval, if it has one, that stays where its values can be."""
    if not math.isfinite(measure.low):
        return measure
    return replace(measure, low=max(low, measure.low), high=min(high, measure.high))


def share(outcomes: Sequence[bool]) -> Measure:
    """Share of independent yes-or-no outcomes."""
    count = len(outcomes)
    if count == 0:
        return Measure(math.nan)
    interval = stats.binomtest(int(sum(outcomes)), count).proportion_ci(LEVEL, method="wilson")
    return Measure(sum(outcomes) / count, float(interval.low), float(interval.high), count)


def mean_of_shares(groups: Sequence[Sequence[bool]]) -> Measure:
    """Unweighted mean of the groups' shares. n: outcomes of all groups.

    The groups' own intervals (Clopper and Pearson 1934) are put together by their distances from the shares, as the square root
    of the sum of squares over the number of groups (MOVER: Zou and Donner 2008). So a group of nothing but right answers has
    its say, where a bootstrap would hold it for certain. With six groups of 16 or 64 it covers 92.6 to 99 % for shares from 0.5
    to 0.995, alike or not, where the bootstrap covered down to 62 %.
    """
    groups = [group for group in groups if group]
    if not groups:
        return Measure(math.nan)
    shares = np.array([sum(group) / len(group) for group in groups])
    tests = [
        stats.binomtest(int(sum(group)), len(group)).proportion_ci(LEVEL, method="exact")
        for group in groups
    ]
    value, count = float(shares.mean()), len(groups)
    below = float(np.linalg.norm(shares - [test.low for test in tests])) / count
    above = float(np.linalg.norm([test.high for test in tests] - shares)) / count
    return Measure(value, value - below, value + above, sum(map(len, groups)))


def _student(residuals: Any) -> float:
    """Half-width of the t interval of a sum of residuals whose mean is 0: t * sqrt(n / (n - 1) * sum of squares)."""
    count = len(residuals)
    spread = math.sqrt(count / (count - 1) * float((residuals**2).sum()))
    return float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * spread


def _bootstrap(top: Any, bottom: Any, method: str) -> tuple[float, float]:
    def statistic(a: Any, b: Any, axis: int) -> Any:
        return a.sum(axis=axis) / b.sum(axis=axis)

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a degenerate BCa says so by nan, which the caller looks at
        found = stats.bootstrap(
            (top, bottom),
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // len(top)),
            confidence_level=LEVEL,
            method=method,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(found.low), float(found.high)
