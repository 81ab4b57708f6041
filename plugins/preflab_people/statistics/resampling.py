"""Intervals of a statistic of votes about other prompts, and about other prompts and other people.

A statistic is a function of sums over units: `Sums` holds for each unit what it adds, and for each
vote what would be missing without it. Sums without one cluster, without one person, or without one
person's votes on one cluster follow by addition, so that every jackknife below is exact.

- `by_prompt`: BCa bootstrap over clusters (Efron 1987), the people taken as they are.
- `by_people`: other clusters and other people, for statistics of pairs of people. Jackknife
  variances of leaving out one cluster, one person and one person's votes on one cluster are
  combined as in two-way random effects, with Student's t and Satterthwaite's degrees of freedom. A
  bootstrap over five people would be far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from preflab import intervals
from preflab.interfaces import Measure
from preflab_people.statistics.votes import Floats, Ints, Votes

Finish = Callable[[Floats], Floats]
"""Totals [..., D] to the statistic [...]."""
Unit = Callable[[Floats], Floats]
"""Counts of votes [M, V] to what such units add [M, D]."""
_BLOCK = 4_000_000
"""Numbers that a bootstrap holds at a time."""


@dataclass(frozen=True)
class Sums:
    """of_unit [U, D]: what each unit adds. of_vote [N, D]: what is missing without a vote. cluster
    [U], unit [N] and person [N] say where they belong."""

    of_unit: Floats
    of_vote: Floats
    cluster: Ints
    unit: Ints
    person: Ints

    @property
    def total(self) -> Floats:
        """Over all units [D]."""
        return np.asarray(self.of_unit.sum(axis=0))

    def by_cluster(self) -> Floats:
        """What each cluster adds [P', D], those that add nothing left out."""
        return _with_weight(_grouped(self.of_unit, self.cluster))

    def by_person(self) -> Floats:
        """What is missing without each person [L', D]."""
        return _with_weight(_grouped(self.of_vote, self.person))

    def by_cell(self) -> Floats:
        """What is missing without a person's votes on a cluster [., D]. Two of these votes that are
        on one unit would count twice, but nobody votes twice on a unit."""
        people = int(self.person.max(initial=0)) + 1
        return _with_weight(_grouped(self.of_vote, self.cluster[self.unit] * people + self.person))


def sums(votes: Votes, unit: Unit) -> Sums:
    """The sums of a statistic that depends on the counts of each unit."""
    counts = votes.counts
    of_unit = unit(counts)
    less = counts[votes.unit]
    less[np.arange(len(less)), votes.value] -= 1.0
    of_vote = of_unit[votes.unit] - unit(less)
    return Sums(of_unit, of_vote, votes.cluster, votes.unit, votes.person)


def by_prompt(sums: Sums, finish: Finish, least: float, most: float) -> Measure:
    """The statistic with an interval about other clusters. n: clusters that have weight. As in
    `preflab.intervals`: one cluster gives no interval, below `intervals.FEW` Student's t is
    used."""
    parts = sums.by_cluster()
    value, count = _value(sums, finish), len(parts)
    if not math.isfinite(value) or count < 2:
        return Measure(value, n=count, least=least, most=most)
    left = _left_out(sums.total, parts, finish)
    if count < intervals.FEW:
        half = intervals.t_quantile(count - 1) * math.sqrt(_jackknife(left))
        low, high = value - half, value + half
    else:
        low, high = _bca(parts, finish, value, left)
    return intervals.within(Measure(value, low, high, count), least, most)


def by_people(sums: Sums, finish: Finish, least: float, most: float) -> Measure:
    """The statistic of pairs of people with an interval about other clusters and other people. n:
    people. No interval for fewer than three people, or one cluster, or if one person is in all
    pairs."""
    cluster, person, cell = (
        _left_out(sums.total, parts, finish)
        for parts in (sums.by_cluster(), sums.by_person(), sums.by_cell())
    )
    people = len(sums.by_person())
    if len(person) < people:  # nothing is left without somebody whom all pairs have in common
        return Measure(_value(sums, finish), n=people, least=least, most=most)
    measure = about_people(_value(sums, finish), cluster, person, cell, pairs_of_people=True)
    return intervals.within(measure, least, most)


def about_people(
    value: float, cluster: Floats, person: Floats, cell: Floats, pairs_of_people: bool
) -> Measure:
    """A value with an interval about other clusters and other people, from its values without each
    cluster, each person, and each person's votes on each cluster (those that exist). n: people.

    pairs_of_people: votes enter in pairs, so that a pair is left out with either person. Then both
    last variances count chance twice, and with few people the first of them (people - 1) /
    (people - 2) times more. If people differ no more than chance would have them differ, only
    clusters vary. Student's t has at least as many degrees of freedom as the smaller of the two
    numbers, less one: Satterthwaite's formula is never smaller for variances that are not reduced.
    """
    people = len(person)
    if not math.isfinite(value) or people < (3 if pairs_of_people else 2) or len(cluster) < 2:
        return Measure(value, n=people)
    chance = _jackknife(cell) * ((people - 1) / (people - 2) if pairs_of_people else 1.0)
    variance, both = _jackknife(cluster), _jackknife(person)
    noise = variance**2 / (len(cluster) - 1)
    if both > chance:
        variance += both - chance
        once = both - chance / 2 if pairs_of_people else both
        noise += once**2 / (people - 1)
    freedom = variance**2 / noise if noise > 0 else math.inf
    # What chance took from `both` is still in `noise`: without a floor freedom can be near 0.
    freedom = max(freedom, min(people, len(cluster)) - 1)
    half = intervals.t_quantile(freedom) * math.sqrt(variance)
    return Measure(value, value - half, value + half, people)


def ratio(totals: Floats) -> Floats:
    """Totals [..., 2] to the first divided by the second, nan for 0 / 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(totals[..., 1] > 0, totals[..., 0] / totals[..., 1], np.nan))


def _value(sums: Sums, finish: Finish) -> float:
    return float(finish(sums.total))


def _grouped(rows: Floats, group: Ints) -> Floats:
    """Sums of rows [N, D] by group, for all groups that occur."""
    names, place = np.unique(group, return_inverse=True)
    totals = np.zeros((len(names), rows.shape[1]))
    np.add.at(totals, place, rows)
    return totals


def _with_weight(rows: Floats) -> Floats:
    return np.asarray(rows[np.abs(rows).sum(axis=1) > 0])


def _left_out(total: Floats, parts: Floats, finish: Finish) -> Floats:
    """The statistic without each part; parts without which there is none are left out."""
    values = finish(total - parts)
    return np.asarray(values[np.isfinite(values)])


def _jackknife(left: Floats) -> float:
    """Variance from the values without one of G parts: (G - 1) / G times the sum of squares."""
    count = len(left)
    return float((count - 1) / count * ((left - left.mean()) ** 2).sum()) if count > 1 else 0.0


def _bca(parts: Floats, finish: Finish, value: float, left: Floats) -> tuple[float, float]:
    """Ends of the BCa interval over parts [P, D]; percentiles where the correction does not
    exist."""
    draws = np.sort(_resampled(parts, finish))
    tails = np.array([(1 - intervals.LEVEL) / 2, (1 + intervals.LEVEL) / 2])
    below = (np.sum(draws < value) + 0.5 * np.sum(draws == value)) / len(draws)
    skew = left.mean() - left
    spread = float((skew**2).sum()) ** 1.5
    if 0 < below < 1 and spread > 0:
        shift, bend = stats.norm.ppf(below), float((skew**3).sum()) / (6 * spread)
        z = shift + stats.norm.ppf(tails)
        tails = stats.norm.cdf(shift + z / (1 - bend * z))
    low, high = np.quantile(draws, tails)
    return float(low), float(high)


def _resampled(parts: Floats, finish: Finish) -> Floats:
    """The statistic of `intervals.RESAMPLES` draws of P parts with replacement."""
    generator, count = np.random.default_rng(0), len(parts)
    size = max(1, min(intervals.RESAMPLES, _BLOCK // count))
    found: list[Floats] = []
    for start in range(0, intervals.RESAMPLES, size):
        rows = min(size, intervals.RESAMPLES - start)
        drawn = generator.integers(count, size=(rows, count))
        drawn += count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        found.append(finish(weights @ parts))
    values = np.concatenate(found)
    return values[np.isfinite(values)]
