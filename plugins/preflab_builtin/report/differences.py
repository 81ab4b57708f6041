"""Differences between arms with their intervals: paired by seed, and by prompt where possible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from preflab.interfaces import Measure
from preflab.intervals import t_interval, t_quantile, within, without_spread
from preflab_builtin.report.runs import Draw, RunResult
from preflab_builtin.report.wording import short

Side = Sequence[RunResult]
"""Runs of one seed whose mean is one side of a comparison; without runs: zero."""


def difference(measure: str, pairs: Sequence[tuple[Side, Side]]) -> Measure | None:
    """Mean over seeds of the first side's measure minus the second's; None if runs do not have it.

    Paired by prompt, question or document if every run has values of the same ones.
    """
    by_case = [_gap_by_case(measure, *pair) for pair in pairs]
    runs = [run for a, b in pairs for run in (*a, *b)]
    if by_case and all(gaps and gaps.keys() == by_case[0].keys() for gaps in by_case):
        mean = crossed([list(gaps.values()) for gaps in by_case])
        return _honest(mean, measure, pairs)
    if pairs and all(measure in run.measures for run in runs):
        values = [
            [[run.measures[measure].value for run in side] for side in pair] for pair in pairs
        ]
        mean = _honest(t_interval([_gap(a, b) for a, b in values]), measure, pairs)
        return _with_fewest(mean, measure, runs)
    return None


def difference_from_curve(
    measure: str, at: str, curves: Mapping[Draw, tuple[RunResult, Sequence[RunResult]]]
) -> tuple[Measure | None, list[str]]:
    """Mean over draws of a run's measure minus that of the curve through other runs, where the
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
    return _with_fewest(_honest(t_interval(gaps), measure, pairs), measure, runs), remarks


def crossed(differences: Sequence[Sequence[float]]) -> Measure:
    """Mean of differences [S seeds, P prompts] in which every seed answers the same prompts, with
    an interval about other seeds and other prompts. One seed: about other prompts.

    Two-way random effects: Var(mean) = (MS_seed + MS_prompt - MS_rest) / (S P), and Student's t
    with Satterthwaite's degrees of freedom (Cornfield and Tukey 1956). A bootstrap over three
    seeds would be far too narrow.
    """
    table = np.asarray(differences, dtype=float)
    s, p = table.shape
    mean = float(table.mean())
    if p < 2:
        return Measure(mean, n=p)
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns[None, :] + mean
    square = {"prompt": s * float(((columns - mean) ** 2).sum()) / (p - 1)}
    freedom = {"prompt": p - 1}
    if s > 1:
        square |= {
            "seed": p * float(((rows - mean) ** 2).sum()) / (s - 1),
            "rest": float((rest**2).sum()) / ((s - 1) * (p - 1)),
        }
        freedom |= {"seed": s - 1, "rest": (s - 1) * (p - 1)}
    total = square["prompt"] + square.get("seed", 0.0) - square.get("rest", 0.0)
    # The estimated variance of seeds or prompts can be negative: then it is taken as zero.
    total = max(total, *square.values())
    if total == 0:
        return Measure(mean, n=p)
    satterthwaite = total**2 / sum(square[k] ** 2 / freedom[k] for k in square)
    half = t_quantile(satterthwaite) * math.sqrt(total / (s * p))
    return Measure(mean, mean - half, mean + half, p)


def _honest(mean: Measure, measure: str, pairs: Sequence[tuple[Side, Side]]) -> Measure:
    """The same difference with an interval that is neither nothing nor beyond what can be."""
    spread = _by_runs(mean, measure, pairs) if without_spread(mean) else mean
    return within(spread, *_range(measure, pairs))


def _by_runs(mean: Measure, measure: str, pairs: Sequence[tuple[Side, Side]]) -> Measure:
    """The same difference with an interval from those of the runs, or none if they have none: that
    nothing varies (all answers right on both sides, for example) does not make it certain.
    Distances to the ends add up in squares (MOVER: Zou and Donner 2008); seeds are averaged."""
    ends = []
    for own, other in pairs:
        below, above = _distances(measure, own)
        other_below, other_above = _distances(measure, other)
        ends.append((math.hypot(below, other_above), math.hypot(above, other_below)))
    low, high = (sum(distances) / len(ends) for distances in zip(*ends, strict=True))
    return replace(mean, low=mean.value - low, high=mean.value + high)


def _distances(measure: str, side: Side) -> tuple[float, float]:
    """From a measure's value to the ends of its interval, mean over the runs that have one; nan if
    none has one, 0 if there are no runs: the difference is from zero."""
    known = [run.measures[measure] for run in side if measure in run.measures]
    known = [m for m in known if math.isfinite(m.low)]
    if side and not known:
        return math.nan, math.nan
    below, above = [m.value - m.low for m in known], [m.high - m.value for m in known]
    return _gap(below or [0.0], ()), _gap(above or [0.0], ())


def _with_fewest(mean: Measure, measure: str, runs: Sequence[RunResult]) -> Measure:
    """The same, where n is the fewest values of the measure in any of the runs."""
    return replace(mean, n=min((run.measures[measure].n for run in runs), default=0))


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
