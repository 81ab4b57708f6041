"""What a metric says of rows, and its numbers over any of them: a measure, or a paired difference.

Rows of one unit (several answers to one question) depend on each other and count together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from preflab import intervals
from preflab.interfaces import Measure

Counts = NDArray[np.float64]
Pairs = Mapping[Any, tuple[Sequence[int], Sequence[int]]]
"""By question: the rows of one side and of the other."""


class Scores(Protocol):
    """What a metric says of N rows."""

    def measure(self, rows: Sequence[int], units: Sequence[Hashable]) -> Measure:
        """The metric of some rows [K]; units: the unit of each of them [K]."""

    def difference(self, pairs: Pairs) -> Measure:
        """How much higher the metric is on the first side of each pair than on the second."""


def rate(
    values: Sequence[float],
    units: Sequence[Hashable],
    texts: Sequence[object],
    others: Sequence[object],
) -> Measure:
    """Mean over rows of a number from 0 to 1 that compares a text with another one. Where all texts
    are compared with themselves, as those of SFT with SFT's, other prompts would give the same
    number: it has no interval. units: the unit of each row.

    >>> rate([0.5, 0.5], "ab", ["yes", "no"], ["yes", "no"])
    Measure(value=0.5, low=nan, high=nan, n=2, least=0.0, most=1.0)
    >>> rate([0.5, 0.5], "ab", ["yes", "no"], ["yes", "No"]).low > 0
    True
    """
    measure = intervals.bounded_mean(values, units=units)
    if list(texts) == list(others):
        return replace(measure, low=np.nan, high=np.nan)
    return measure


@dataclass(frozen=True)
class RowScores:
    """`Scores` whose metric is the mean of a number of each row. least, most: its range."""

    values: Sequence[float]
    least: float = -np.inf
    most: float = np.inf

    def measure(self, rows: Sequence[int], units: Sequence[Hashable]) -> Measure:
        """The mean."""
        values = [self.values[i] for i in rows]
        if np.isfinite(self.most - self.least):
            return intervals.bounded_mean(values, self.least, self.most, units)
        return intervals.within(intervals.mean(values, units), self.least, self.most)

    def difference(self, pairs: Pairs) -> Measure:
        """The mean over questions; several rows of one side are averaged first."""
        gaps = [self._mean(first) - self._mean(second) for first, second in pairs.values()]
        return intervals.difference(gaps, self.least - self.most, self.most - self.least)

    def _mean(self, rows: Sequence[int]) -> float:
        return sum(self.values[i] for i in rows) / len(rows)


@dataclass(frozen=True)
class CorpusScores:
    """`Scores` whose metric is a function of numbers of each row [N, K] added up over the rows.
    most: its highest value; the lowest is 0."""

    counts: Counts
    of: Callable[[Counts], float]
    most: float

    def measure(self, rows: Sequence[int], units: Sequence[Hashable]) -> Measure:
        """The metric; its interval draws units, and below `intervals.FEW` of them it is Student's t
        of the jackknife (Tukey 1958)."""
        by_unit: dict[Hashable, list[int]] = {}
        for row, unit in zip(rows, units, strict=True):
            by_unit.setdefault(unit, []).append(row)
        table = np.array([self.counts[at].sum(axis=0) for at in by_unit.values()])
        return self._with_interval(table, self.of, 0.0)

    def difference(self, pairs: Pairs) -> Measure:
        """The metric of one side minus that of the other; the interval draws questions."""
        table = np.array(
            [
                np.stack([self.counts[first].sum(axis=0), self.counts[second].sum(axis=0)])
                for first, second in pairs.values()
            ]
        )
        return self._with_interval(table, lambda both: self.of(both[0]) - self.of(both[1]), -1.0)

    def _with_interval(self, table: Counts, of: Callable[[Counts], float], least: float) -> Measure:
        count, least = len(table), least * self.most
        if count == 0:
            return Measure(np.nan, least=least, most=self.most)
        value = of(table.sum(axis=0))
        measure = Measure(value, n=count, least=least, most=self.most)
        if count == 1:
            return measure
        if count < intervals.FEW:
            low, high = _jackknife(table, of, value)
        else:
            low, high = _drawn(table, of)
        if intervals.without_spread(
            replace(measure, low=low, high=high)
        ):  # all rows right, for example, does not make it certain
            return intervals.score_interval(measure, 0.0, count)
        return intervals.within(replace(measure, low=low, high=high), least, self.most)


def _drawn(table: Counts, of: Callable[[Counts], float]) -> tuple[float, float]:
    rng, count = np.random.default_rng(0), len(table)
    drawn = [
        of(table[rng.integers(0, count, count)].sum(axis=0)) for _ in range(intervals.RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - intervals.LEVEL) / 2, (1 + intervals.LEVEL) / 2])
    return float(low), float(high)


def _jackknife(table: Counts, of: Callable[[Counts], float], value: float) -> tuple[float, float]:
    whole, count = table.sum(axis=0), len(table)
    without = np.array([of(whole - row) for row in table])
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    half = float(intervals.t_quantile(count - 1) * error)
    return value - half, value + half
