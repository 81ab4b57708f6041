"""95 % intervals of what an evaluator measures: means, ratios, shares, means of shares.

Every function takes one number (or one group of outcomes) per independent unit, such as a prompt,
a document or a seed, and returns a `preflab.interfaces.Measure`: the value, its interval and the
number of units. Values that depend on each other, such as several answers to one question, are one
unit: ``units`` names the unit of each value. No units: the value is nan. One unit: a value without
an interval (nan). Nor have equal values one where no range is known: that nothing varied among them
does not make the value certain, and does not show how far it may vary.

- `mean`, `ratio`: BCa bootstrap (Efron 1987); below `FEW` units Student's t of the linearised ratio
- `bounded_mean`, `bounded_ratio`: of values in a known range, such as win rates: a score interval
- `t_interval`: Student's t of a mean (1908), for few and roughly normal values such as seeds
- `share`: Wilson's score interval (1927), which is right at 0 and 1 too
- `mean_of_shares`: Clopper and Pearson's intervals (1934), combined by MOVER (Zou and Donner 2008)

The bootstrap draws with fixed random numbers: the same data give the same interval.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preflab.interfaces import Measure

LEVEL = 0.95
"""Probability with which an interval covers the true value."""
RESAMPLES = 2000
"""Draws of a bootstrap."""
FEW = 12
"""Below this many units a bootstrap is far too narrow, and Student's t is used."""

_Array = NDArray[np.float64]


def mean(values: Sequence[float], units: Sequence[Hashable] | None = None) -> Measure:
    """Mean of values [N], with the interval of `ratio`. units: see `by_unit`.

    >>> mean([0.5, 0.5, 0.5])
    Measure(value=0.5, low=nan, high=nan, n=3, least=-inf, most=inf)
    """
    return ratio(*by_unit(values, units))


def by_unit(
    values: Sequence[float], units: Sequence[Hashable] | None
) -> tuple[list[float], list[float]]:
    """Values [N] as sums and counts of independent units, for `ratio`. units: the unit of each
    value [N], such as its question; None: every value is one.

    >>> by_unit([1.0, 0.0, 1.0], ["a", "a", "b"])
    ([1.0, 1.0], [2.0, 1.0])
    """
    sums: dict[Hashable, list[float]] = {}
    for value, unit in zip(values, range(len(values)) if units is None else units, strict=True):
        total = sums.setdefault(unit, [0.0, 0.0])
        total[0] += value
        total[1] += 1.0
    return [a for a, _ in sums.values()], [b for _, b in sums.values()]


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Measure:
    """sum(numerators) / sum(denominators), both [N]: one pair of numbers per independent unit.

    Examples: right pairs and pairs of each prompt, or summed loss and tokens of each document.
    Units whose denominator is 0 are left out and are not in n.
    """
    top, bottom = _with_weight(numerators, denominators)
    if len(top) == 0:
        return Measure(math.nan)
    value = float(top.sum() / bottom.sum())
    if np.ptp(top / bottom) == 0:  # as of one unit; every resample gives this value
        return Measure(value, n=len(top))
    if len(top) < FEW:
        half = _half_width_of_sum(top - value * bottom) / float(bottom.sum())
        return Measure(value, value - half, value + half, len(top))
    low, high = _bootstrap(top, bottom, "BCa")
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = _bootstrap(top, bottom, "percentile")
    return Measure(value, low, high, len(top))


def bounded_mean(
    values: Sequence[float],
    least: float = 0.0,
    most: float = 1.0,
    units: Sequence[Hashable] | None = None,
) -> Measure:
    """Mean of values [N] that cannot be below ``least`` or above ``most``, with the interval of
    `bounded_ratio`: shares, scores from 0 to 1, entropies. units: see `by_unit`.

    >>> wins = bounded_mean([1.0] * 10)  # Wilson: low = 10 / (10 + 1.96^2)
    >>> round(wins.low, 3), wins.high
    (0.722, 1.0)
    """
    return bounded_ratio(*by_unit(values, units), least, most)


def bounded_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    least: float = 0.0,
    most: float = 1.0,
) -> Measure:
    """The ratio of `ratio` where no value can be below ``least`` or above ``most``.

    Its interval is Wilson's with the variance of the units in the place of p (1 - p). For outcomes
    0 and 1 it is Wilson's; it stays within the range, and it does not shrink to nothing where all
    values are equal. It covers the truth in 90 to 100 % of draws from 2 to 100 units, for outcomes,
    for skewed and for even values. Units of unequal size count as (sum of sizes)^2 / sum of squared
    sizes (Kish 1965).
    """
    top, bottom = _with_weight(numerators, denominators)
    if len(top) == 0:
        return Measure(math.nan, least=least, most=most)
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Measure(value, n=1, least=least, most=most)
    variance = float(((top - value * bottom) ** 2).sum() / bottom.sum() ** 2)
    alike = float(bottom.sum() ** 2 / (bottom**2).sum())
    return score_interval(Measure(value, n=len(top), least=least, most=most), variance, alike)


def score_interval(measure: Measure, variance: float, units: float) -> Measure:
    """The measure with a score interval inside its range, which must be finite. variance: of its
    value; units: how many equal units are behind it."""
    width = measure.most - measure.least
    p, z = (measure.value - measure.least) / width, t_quantile(math.inf)
    shrunk = 1 + z**2 / units
    centre = (p + z**2 / (2 * units)) / shrunk
    half = z / shrunk * math.sqrt(variance / width**2 + (z / (2 * units)) ** 2)
    low, high = (measure.least + width * end for end in (centre - half, centre + half))
    # Rounding must not put the end of the range beyond the interval.
    low, high = min(low, measure.value), max(high, measure.value)
    return within(replace(measure, low=low, high=high), measure.least, measure.most)


def difference(gaps: Sequence[float], least: float, most: float) -> Measure:
    """Mean of differences [N] of pairs, one of each independent unit, in a range: the interval of
    `mean`, or of `bounded_mean` where all are equal, which does not make them certain.

    >>> difference([0.0] * 10, -1.0, 1.0).low < 0 < difference([0.0] * 10, -1.0, 1.0).high
    True
    """
    measure = mean(gaps)
    if without_spread(measure) and math.isfinite(most - least):
        return bounded_mean(gaps, least, most)
    return within(measure, least, most)


def t_interval(values: Sequence[float]) -> Measure:
    """Mean of independent values [N], with Student's t interval: mean +- t s / sqrt(N).

    Equal values give no interval.

    >>> measure = t_interval([1.0, 2.0, 3.0, 6.0])  # s = 2.1602, t = 3.1824
    >>> round(measure.low, 4), measure.value, round(measure.high, 4), measure.n
    (-0.4374, 3.0, 6.4374, 4)
    """
    count = len(values)
    if count == 0:
        return Measure(math.nan)
    value = sum(values) / count
    if np.ptp(values) == 0:
        return Measure(value, n=count)
    half = float(t_quantile(count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Measure(value, value - half, value + half, count)


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """Half-width of the two-sided t interval in standard errors; freedom: degrees of freedom;
    level: probability with which the interval covers the true value.

    >>> round(t_quantile(3), 4)
    3.1824
    """
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, freedom))


def share(outcomes: Sequence[bool]) -> Measure:
    """Share of independent yes-or-no outcomes [N] that are yes."""
    from scipy import stats

    count = len(outcomes)
    if count == 0:
        return Measure(math.nan, least=0.0, most=1.0)
    interval = stats.binomtest(int(sum(outcomes)), count).proportion_ci(LEVEL, method="wilson")
    low, high = float(interval.low), float(interval.high)
    return Measure(sum(outcomes) / count, low, high, count, least=0.0, most=1.0)


def mean_of_shares(groups: Sequence[Sequence[bool]]) -> Measure:
    """Mean over groups of each group's share of yes; every group has the same weight.

    groups: the outcomes of each group; empty groups are left out. n: outcomes of all groups.

    The distances from the groups' shares to the ends of their own intervals are combined: the
    square root of the sum of squares, divided by the number of groups. A group in which every
    outcome is the same still contributes its uncertainty; a bootstrap would count it as certain.
    With six groups of 16 or 64 outcomes the interval covers the truth in 92.6 to 99 % of draws for
    shares from 0.5 to 0.995; a bootstrap covered it in as few as 62 %.
    """
    from scipy import stats

    groups = [group for group in groups if group]
    if not groups:
        return Measure(math.nan, least=0.0, most=1.0)
    shares = np.array([sum(group) / len(group) for group in groups])
    ends = [
        stats.binomtest(int(sum(group)), len(group)).proportion_ci(LEVEL, method="exact")
        for group in groups
    ]
    value, count = float(shares.mean()), len(groups)
    below = float(np.linalg.norm(shares - [end.low for end in ends])) / count
    above = float(np.linalg.norm([end.high for end in ends] - shares)) / count
    measure = Measure(value, value - below, value + above, sum(map(len, groups)))
    return within(measure, 0.0, 1.0)


def without_spread(measure: Measure) -> bool:
    """Whether several values were equal, up to rounding, and so do not show how far it may vary: it
    has no interval, or one without a width.

    >>> without_spread(Measure(0.5, n=2)), without_spread(Measure(0.5, n=1))
    (True, False)
    """
    low, high = measure.low, measure.high
    flat = math.isnan(low) or math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-12)
    return flat and measure.n > 1


def decimals(low: float, high: float, least: int, most: int = 9) -> int:
    """Decimals with which the ends of an interval are written: ``least``, or so many more that
    rounding does not make a point of it. nan: there is no interval.

    >>> decimals(0.1, 0.2, 2), decimals(49.96, 50.04, 1), decimals(0.5, 0.5, 3)
    (2, 2, 3)
    """
    digits = least
    while low < high and digits < most and round(low, digits) == round(high, digits):
        digits += 1
    return digits


def within(measure: Measure, least: float, most: float) -> Measure:
    """The measure with its range, and its interval, if it has one, cut to it; the whole interval of
    an estimate outside the range.

    >>> [within(Measure(v, v - 0.2, v + 0.2), 0.0, 1.0).low for v in (0.1, -0.1)]
    [0.0, -0.30000000000000004]
    """
    low, high = measure.low, measure.high
    if math.isfinite(low) and least <= measure.value <= most:
        low, high = max(least, low), min(most, high)
    return replace(measure, low=low, high=high, least=least, most=most)


def _with_weight(
    numerators: Sequence[float], denominators: Sequence[float]
) -> tuple[_Array, _Array]:
    """Both as arrays, without the units whose denominator is 0."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    return top[bottom > 0], bottom[bottom > 0]


def _half_width_of_sum(residuals: _Array) -> float:
    """t interval of a sum of residuals [N] with mean 0: t * sqrt(N / (N - 1) * sum of squares)."""
    count = len(residuals)
    spread = math.sqrt(count / (count - 1) * float((residuals**2).sum()))
    return t_quantile(count - 1) * spread


def _bootstrap(top: _Array, bottom: _Array, method: str) -> tuple[float, float]:
    from scipy import stats

    def statistic(a: _Array, b: _Array, axis: int) -> _Array:
        quotient: _Array = a.sum(axis=axis) / b.sum(axis=axis)
        return quotient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a BCa interval that does not exist is nan: see `ratio`
        interval = stats.bootstrap(
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
    return float(interval.low), float(interval.high)
