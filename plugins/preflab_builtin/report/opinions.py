"""Differences of measures that people gave, such as win rates of blind comparisons: about other
people too, beside other seeds and other prompts.

A value has a seed, a prompt and a person, all of whom were drawn. The error of its mean over the
seeds is that of `preflab.two_way` about prompts and people, plus that of the seeds, less what is in
both: as `preflab_builtin.report.differences.crossed` has it for seeds and prompts, and equal to it
where people do not differ. With one seed it is what the evaluator itself says of a run.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preflab.interfaces import Opinion
from preflab.two_way import Cells, cells, variances
from preflab_builtin.report.differences import (
    Difference,
    Gaps,
    PartsOfPeople,
    Side,
    by_seed,
    honest,
    seeds_of,
)
from preflab_builtin.report.runs import Draw, RunResult

Weighted = Sequence[tuple[float, RunResult]]
"""Runs of one draw, whose weighted sum is what is compared: 1 and -1 for a run and another."""
Places = Sequence[tuple[Hashable, Hashable, Hashable]]
"""Of each value the prompt, the person, and the unit of the prompt."""
_Place = tuple[str, str, str]
ONE_PERSON = "one person judged, which says nothing of other people"


@dataclass(frozen=True)
class _Side:
    """A run of a draw: its weight, and its values by prompt, person and unit."""

    weight: float
    values: Mapping[_Place, float]


def difference_of_people(measure: str, pairs: Sequence[tuple[Side, Side]]) -> Difference | None:
    """`differences.difference` of a measure that people gave; None for any other."""
    draws = [
        [*((1 / len(a), run) for run in a), *((-1 / len(b), run) for run in b)] for a, b in pairs
    ]
    found = of_people(measure, draws, seeds_of(pairs))
    return None if found is None else honest(found, measure, pairs)


def difference_from_curve_of_people(
    measure: str, at: str, curves: Mapping[Draw, tuple[RunResult, Sequence[RunResult]]]
) -> Difference | None:
    """`differences.difference_from_curve` of a measure that people gave; None for any other."""
    draws: list[Weighted] = []
    for own, curve in curves.values():
        runs = sorted(curve, key=lambda run: (run.measures[at].value, run.measures[measure].value))
        xs = [run.measures[at].value for run in runs]
        weights = [np.interp(own.measures[at].value, xs, row) for row in np.eye(len(xs))]
        draws.append([(1.0, own), *((-float(w), r) for w, r in zip(weights, runs, strict=True))])
    pairs = [((own,), curve) for own, curve in curves.values()]
    found = of_people(measure, draws, seeds_of(pairs))
    return None if found is None else honest(found, measure, pairs)


def of_people(
    measure: str, draws: Sequence[Weighted], seeds: Sequence[Hashable]
) -> Difference | None:
    """Mean over seeds of the weighted sum of a measure's values; None unless every run has what
    each person said. seeds: of each draw.

    Where the same people judged the same prompts for all runs, runs are paired by prompt and
    person, and seeds share their people. Else the people of several rounds, who have another
    pseudonym in each, may be the same ones: then no number of seeds makes the part of people and
    prompts smaller, and runs that share no people are not paired. Nor does a mean over several runs
    of one side make it smaller.
    """
    sides = [
        [_Side(weight, _values(run.opinions(measure))) for weight, run in runs if weight]
        for runs in draws
    ]
    if not sides or not all(draw and all(side.values for side in draw) for draw in sides):
        return None
    shared = _shared([side for draw in sides for side in draw])
    if shared:
        gaps = [_gaps(draw, shared) for draw in sides]
        found = crossed_with_people(np.asarray(gaps), shared, seeds)
    else:
        found = _of_draws(sides, seeds)
    people = {person for draw in sides for side in draw for _, person, _ in side.values}
    return replace(found, persons=len(people), lacks=ONE_PERSON if len(people) == 1 else "")


def _values(said: Sequence[Opinion]) -> dict[_Place, float]:
    """The mean of what each person said of each prompt."""
    found: dict[_Place, list[float]] = {}
    for one in said:
        found.setdefault((one.prompt, one.person, one.unit or one.prompt), []).append(one.value)
    return {place: sum(some) / len(some) for place, some in found.items()}


def _shared(sides: Sequence[_Side]) -> list[_Place]:
    """The places that all runs have, if every prompt of every run has one; else none."""
    of_each = [side.values.keys() for side in sides]
    shared = sorted(set(of_each[0]).intersection(*of_each[1:]))
    prompts = {prompt for prompt, *_ in shared}
    complete = all({prompt for prompt, *_ in own} == prompts for own in of_each)
    return shared if complete else []


def _gaps(draw: Sequence[_Side], shared: Sequence[_Place]) -> list[float]:
    return [sum(side.weight * side.values[place] for side in draw) for place in shared]


def _table(values: Sequence[float] | NDArray[np.float64], places: Places) -> Cells:
    prompts, people, units = zip(*places, strict=True)
    return cells(list(values), prompts, people, units)


def crossed_with_people(
    gaps: NDArray[np.float64], places: Places, seeds: Sequence[Hashable] = ()
) -> Difference:
    """Mean of values [D draws, N cells] of the filled cells of a table prompt x person. seeds: of
    each draw; none: each draw has its own. No error for one person, or where all prompts are one
    unit."""
    rows = by_seed(gaps.tolist(), seeds)
    middle = rows.mean(axis=0)
    table = _table(middle, places)
    parts = _parts(table)
    if parts is not None and len(rows) > 1:
        deviations = [variances(_table(row - middle, places)) for row in rows]
        within = sum(one.of_prompts for one in deviations) / (len(rows) - 1)
        parts = replace(parts, within=within)
    by_draw = tuple(_table(row, places).mean for row in gaps)
    found = Difference(table.mean, table.prompts, Gaps(by_draw, (), tuple(seeds), parts))
    return _with_error(found, [_table(row, places).mean for row in rows])


def _of_draws(draws: Sequence[Sequence[_Side]], seeds: Sequence[Hashable]) -> Difference:
    """The mean over seeds that do not share their people."""
    values, some, prompts = zip(*map(_of_draw, draws), strict=True)
    parts = _sum([(1 / len(draws), part) for part in some])
    mean = by_seed(values, seeds).tolist()
    gaps = Gaps(tuple(values), (), tuple(seeds), parts)
    return _with_error(Difference(sum(mean) / len(mean), min(prompts), gaps), mean)


def _of_draw(draw: Sequence[_Side]) -> tuple[float, PartsOfPeople | None, int]:
    """The value of one draw, its variance about prompts and people, and how many prompts."""
    if shared := _shared(draw):
        table = _table(_gaps(draw, shared), shared)
        return table.mean, _parts(table), table.prompts
    tables = [_table(list(side.values.values()), list(side.values)) for side in draw]
    weights = [side.weight for side in draw]
    value = sum(weight * table.mean for weight, table in zip(weights, tables, strict=True))
    parts = [(weight, _parts(table)) for weight, table in zip(weights, tables, strict=True)]
    sides = [[(abs(w), part) for w, part in parts if (w > 0) == above] for above in (True, False)]
    found = _sum([(1.0, _alike(side)) for side in sides if side])
    return value, found, min(table.prompts for table in tables)


def _parts(table: Cells) -> PartsOfPeople | None:
    """The variance of a table's mean; None if it is not known."""
    units = len(set(table.cluster.tolist()))
    if min(units, len(set(table.labeler.tolist()))) < 2:
        return None
    found = variances(table)
    return PartsOfPeople(found.of_mean, found.of_labelers, found.freedom, units)


def _alike(some: Sequence[tuple[float, PartsOfPeople | None]]) -> PartsOfPeople | None:
    """The largest variance that a weighted sum of runs on one side can have, by the weight and the
    variance of each: they have prompts in common, and maybe people under other pseudonyms, so that
    standard deviations add up, and not variances."""
    known = [(weight, part) for weight, part in some if part is not None]
    if len(known) < len(some):
        return None
    return PartsOfPeople(
        about=sum(weight * math.sqrt(part.about) for weight, part in known) ** 2,
        people=sum(weight * math.sqrt(part.people) for weight, part in known) ** 2,
        freedom=min(part.freedom for _, part in known),
        units=min(part.units for _, part in known),
    )


def _sum(some: Sequence[tuple[float, PartsOfPeople | None]]) -> PartsOfPeople | None:
    """The variance of a sum, by the variance of each part and its factor; degrees of freedom and
    units are the fewest of any part."""
    known = [(factor, part) for factor, part in some if part is not None]
    if len(known) < len(some):
        return None
    return PartsOfPeople(
        about=sum(factor * part.about for factor, part in known),
        people=sum(factor * part.people for factor, part in known),
        freedom=min(part.freedom for _, part in known),
        units=min(part.units for _, part in known),
    )


def _with_error(found: Difference, by_seed: Sequence[float]) -> Difference:
    """The difference with its error. by_seed: its value for each seed."""
    parts = found.gaps.people
    if parts is None:
        return found
    between = float(np.var(by_seed, ddof=1)) if len(by_seed) > 1 else 0.0
    error, freedom = parts.error(between, len(by_seed))
    return replace(found, below=error, above=error, freedom=freedom)
