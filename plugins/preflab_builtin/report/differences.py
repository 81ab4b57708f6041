"""Differences between arms with their intervals: paired by seed, and by prompt where possible."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preflab.interfaces import Measure
from preflab.intervals import LEVEL, t_quantile, within
from preflab_builtin.report.runs import Draw, RunResult
from preflab_builtin.report.wording import short

Side = Sequence[RunResult]
"""Runs of one seed whose mean is one side of a comparison; without runs: zero."""
_Row = float | Sequence[float]


@dataclass(frozen=True)
class PartsOfPeople:
    """Variance of the mean of a measure that people gave. about: about prompts and people, the
    seeds as they are; people: the part of the people in it; freedom: its degrees of freedom; units:
    how many units of prompts there are; within: of the mean of one seed, what the seeds do not
    share (0: they are not known to share prompts and people, and nothing is subtracted)."""

    about: float
    people: float
    freedom: float
    units: int
    within: float = 0.0

    def error(self, between: float, seeds: int) -> tuple[float, float]:
        """Standard error of the mean over so many seeds, and its degrees of freedom. between: the
        variance between the seeds' means."""
        square = {"people": self.about}
        freedom = {"people": self.freedom}
        if seeds > 1:
            square |= {"seed": between / seeds, "rest": self.within / seeds}
            freedom |= {"seed": seeds - 1, "rest": (seeds - 1) * (self.units - 1)}
        return crossed_error(square, freedom, 1)


@dataclass(frozen=True)
class Gaps:
    """The differences that a claim is about. by_draw: one for each draw [D]; by_case: by draw and
    prompt, question or document [D, P], () if the runs have no values of the same ones; seeds: of
    each draw [D], () if each draw has one of its own; people: of a measure that people gave."""

    by_draw: tuple[float, ...]
    by_case: tuple[tuple[float, ...], ...] = ()
    seeds: tuple[Hashable, ...] = ()
    people: PartsOfPeople | None = None


@dataclass(frozen=True)
class Difference:
    """A mean difference, and how uncertain it is.

    below, above: its standard error on either side (nan: unknown); freedom: degrees of freedom of
    Student's t; n: cases that are paired, or the fewest values of the measure in any run; least,
    most: what it can be; gaps: what it is the mean of; persons: of a measure that people gave, how
    many gave it; lacks: why there is no error, where it is not that seeds are lacking.
    """

    value: float
    n: int
    gaps: Gaps
    below: float = math.nan
    above: float = math.nan
    freedom: float = math.inf
    least: float = -math.inf
    most: float = math.inf
    persons: int = 0
    lacks: str = ""

    def measure(self, level: float = LEVEL) -> Measure:
        """The difference with its interval, which covers the true one with probability
        ``level``."""
        if math.isnan(self.below):
            return Measure(self.value, n=self.n, least=self.least, most=self.most)
        t = t_quantile(self.freedom, level)
        low, high = self.value - t * self.below, self.value + t * self.above
        return within(Measure(self.value, low, high, self.n), self.least, self.most)

    def p(self, null: float) -> float:
        """The two-sided p-value of a true difference of ``null``: 1 minus the level of the interval
        that ends there. nan: there is no interval."""
        from scipy import stats

        distance, error = self.value - null, self.below if self.value > null else self.above
        if math.isnan(error):
            return math.nan
        if error == 0:
            return float(distance == 0)
        return float(2 * stats.t.sf(abs(distance) / error, self.freedom))


def difference(measure: str, pairs: Sequence[tuple[Side, Side]]) -> Difference | None:
    """Mean over seeds of the first side's measure minus the second's; None if runs do not have it.
    Several draws of one seed count as their mean (`by_seed`).

    Paired by prompt, question or document if every run has values of the same ones.
    """
    by_case = [_gap_by_case(measure, *pair) for pair in pairs]
    runs = [run for a, b in pairs for run in (*a, *b)]
    if by_case and all(gaps and gaps.keys() == by_case[0].keys() for gaps in by_case):
        mean = crossed([list(gaps.values()) for gaps in by_case], seeds_of(pairs))
        return honest(mean, measure, pairs)
    if pairs and all(measure in run.measures for run in runs):
        values = [
            [[run.measures[measure].value for run in side] for side in pair] for pair in pairs
        ]
        mean = _over_seeds([_gap(a, b) for a, b in values], seeds_of(pairs), measure, runs)
    else:
        return None
    return honest(mean, measure, pairs)


def difference_from_curve(
    measure: str, at: str, curves: Mapping[Draw, tuple[RunResult, Sequence[RunResult]]]
) -> tuple[Difference | None, list[str]]:
    """Mean over seeds of a run's measure minus that of the curve through other runs, where the
    curve has the run's value of the measure ``at``; and where a curve was read beyond its end."""
    gaps, remarks = [], []
    for draw, (own, curve) in curves.items():
        (x, y), *points = (
            (run.measures[at].value, run.measures[measure].value) for run in (own, *curve)
        )
        points.sort()
        xs, ys = zip(*points, strict=True)
        gaps.append(y - float(np.interp(x, xs, ys)))  # beyond an end, interp gives that end
        if not xs[0] <= x <= xs[-1]:
            remarks.append(
                f"seed {draw.label}: {at} {short(x)} is outside the curve "
                f"({short(xs[0])} to {short(xs[-1])}), whose nearest end counts"
            )
    pairs = [((own,), curve) for own, curve in curves.values()]
    if not pairs:
        return None, remarks
    runs = [run for own, curve in pairs for run in (*own, *curve)]
    return honest(_over_seeds(gaps, seeds_of(pairs), measure, runs), measure, pairs), remarks


def by_seed(values: Sequence[_Row], seeds: Sequence[Hashable]) -> NDArray[np.float64]:
    """Mean over the draws of each seed [S, ...] of values by draw [D, ...]: draws of one seed share
    the stages before the algorithm, so they are one unit and not several. Draws of the same seed
    alone are the units themselves: what is said is then about other draws of that seed.

    >>> by_seed([1.0, 3.0, 8.0], [1, 1, 2]).tolist(), by_seed([1.0, 3.0], [1, 1]).tolist()
    ([2.0, 8.0], [1.0, 3.0])
    """
    table, different = np.asarray(values, dtype=float), list(dict.fromkeys(seeds))
    if len(different) in (0, 1, len(table)):
        return table
    of = [[i for i, own in enumerate(seeds) if own == seed] for seed in different]
    return np.stack([table[draws].mean(axis=0) for draws in of])


def crossed(differences: Sequence[Sequence[float]], seeds: Sequence[Hashable] = ()) -> Difference:
    """Mean of differences [D draws, P prompts] in which every draw answers the same prompts, with
    its error about other seeds and other prompts. seeds: of each draw; none: each draw has its own.
    One draw: about other prompts.

    Two-way random effects: Var(mean) = (MS_seed + MS_prompt - MS_rest) / (S P), and Student's t
    with Satterthwaite's degrees of freedom (Cornfield and Tukey 1956). A bootstrap over three
    seeds would be far too narrow.
    """
    own = np.asarray(differences, dtype=float).mean(axis=1)
    gaps = Gaps(tuple(map(float, own)), tuple(tuple(row) for row in differences), tuple(seeds))
    table = by_seed(differences, seeds)
    s, p = table.shape
    mean = Difference(float(table.mean()), p, gaps)
    if p < 2:
        return mean
    error, freedom = crossed_error(mean_squares(table), freedoms(s, p), s * p)
    return replace(mean, below=error, above=error, freedom=freedom)


def mean_squares(table: NDArray[np.float64]) -> dict[str, float]:
    """Mean squares of a table [S seeds, P prompts] by source: prompt and, if there are several
    seeds, seed and rest."""
    s, p = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns[None, :] + mean
    square = {"prompt": s * float(((columns - mean) ** 2).sum()) / (p - 1)}
    if s > 1:
        square["seed"] = p * float(((rows - mean) ** 2).sum()) / (s - 1)
        square["rest"] = float((rest**2).sum()) / ((s - 1) * (p - 1))
    return square


def freedoms(s: int, p: int) -> dict[str, int]:
    """Degrees of freedom of the `mean_squares` of a table [S, P]."""
    return {"prompt": p - 1, "seed": s - 1, "rest": (s - 1) * (p - 1)}


def crossed_error(
    square: Mapping[str, float], freedom: Mapping[str, float], count: int
) -> tuple[float, float]:
    """Standard error of the mean of a table of ``count`` values with these mean squares by source,
    and its degrees of freedom. rest: the source that is in all others; freedom: of each source."""
    total = sum(part if source != "rest" else -part for source, part in square.items())
    # The estimated variance of seeds or prompts can be negative: then it is taken as zero.
    total = max(total, *square.values())
    if total == 0:
        return 0.0, math.inf
    satterthwaite = total**2 / sum(square[k] ** 2 / freedom[k] for k in square)
    return math.sqrt(total / count), satterthwaite


def seeds_of(pairs: Sequence[tuple[Side, Side]]) -> tuple[int, ...]:
    """The seed of each pair, of which the first side has a run."""
    return tuple(own[0].seed for own, _ in pairs)


def _over_seeds(
    gaps: Sequence[float], seeds: Sequence[Hashable], measure: str, runs: Sequence[RunResult]
) -> Difference:
    """Mean over seeds of one difference of each draw, with Student's t. n: the fewest values of the
    measure in any of the runs."""
    n, units = min((run.measures[measure].n for run in runs), default=0), by_seed(gaps, seeds)
    mean = Difference(sum(units.tolist()) / len(units), n, Gaps(tuple(gaps), (), tuple(seeds)))
    if len(units) < 2:
        return mean
    error = float(np.std(units, ddof=1)) / math.sqrt(len(units))
    return replace(mean, below=error, above=error, freedom=len(units) - 1)


def honest(mean: Difference, measure: str, pairs: Sequence[tuple[Side, Side]]) -> Difference:
    """The same difference with an error that is not nothing, and with what it can be."""
    own = mean.measure()
    alike = math.isfinite(own.low) and math.isclose(own.low, own.high, rel_tol=1e-12, abs_tol=1e-12)
    spread = _by_runs(mean, measure, pairs) if alike else mean
    least, most = _range(measure, pairs)
    return replace(spread, least=least, most=most)


def _by_runs(mean: Difference, measure: str, pairs: Sequence[tuple[Side, Side]]) -> Difference:
    """The same difference with an error from the intervals of the runs, or none if they have none:
    that nothing varies (all answers right on both sides, for example) does not make it certain.
    Distances to the ends add up in squares (MOVER: Zou and Donner 2008); seeds are averaged."""
    ends = []
    for own, other in pairs:
        below, above = _distances(measure, own)
        other_below, other_above = _distances(measure, other)
        ends.append((math.hypot(below, other_above), math.hypot(above, other_below)))
    low, high = (sum(distances) / len(ends) for distances in zip(*ends, strict=True))
    z = t_quantile(math.inf)
    return replace(mean, below=low / z, above=high / z, freedom=math.inf)


def _distances(measure: str, side: Side) -> tuple[float, float]:
    """From a measure's value to the ends of its interval, mean over the runs that have one; nan if
    none has one, 0 if there are no runs: the difference is from zero."""
    known = [run.measures[measure] for run in side if measure in run.measures]
    known = [m for m in known if math.isfinite(m.low)]
    if side and not known:
        return math.nan, math.nan
    below, above = [m.value - m.low for m in known], [m.high - m.value for m in known]
    return _gap(below or [0.0], ()), _gap(above or [0.0], ())


def _range(measure: str, pairs: Sequence[tuple[Side, Side]]) -> tuple[float, float]:
    """The least and most that a difference can be, by the ranges of the runs' measures."""

    def of(side: Side) -> tuple[float, float]:
        ranges = [
            (run.measures[measure].least, run.measures[measure].most)
            if measure in run.measures
            else (-math.inf, math.inf)
            for run in side
        ]
        return min((a for a, _ in ranges), default=0.0), max((b for _, b in ranges), default=0.0)

    ends = [(of(own), of(other)) for own, other in pairs]
    return min(a[0] - b[1] for a, b in ends), max(a[1] - b[0] for a, b in ends)


def _gap_by_case(measure: str, a: Side, b: Side) -> dict[str, float]:
    """Differences by case id, in its order; {} unless every run has values of the same cases."""
    values = [run.by_case(measure) for run in (*a, *b)]
    if any(v.keys() != values[0].keys() for v in values):
        return {}
    return {
        case: _gap([v[case] for v in values[: len(a)]], [v[case] for v in values[len(a) :]])
        for case in sorted(values[0])
    }


def _gap(a: Sequence[float], b: Sequence[float]) -> float:
    """Mean of a minus mean of b, which is zero if it is empty."""
    return sum(a) / len(a) - (sum(b) / len(b) if b else 0.0)
