"""Agreement in three definitions: by hand, against a slow count, and on real votes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab import intervals
from preflab.interfaces import Measure
from preflab.records import Prompt
from preflab.rows import fields, read_table
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics import resampling
from preflab_people.statistics.agreement import (
    Agreement,
    Distance,
    _sides,
    alpha,
    between,
    flagged,
    likert,
    ranking,
    report,
)
from preflab_people.statistics.votes import SIDES, Answered, Round, Vote, Votes, pair_votes, table

# Two units: x, y, z say first, first, second; x, y say tie, first.
BY_HAND = [
    *(Vote(("a",), "p1", name, value) for name, value in (("x", 2), ("y", 2), ("z", 0))),
    *(Vote(("b",), "p2", name, value) for name, value in (("x", 1), ("y", 2))),
]


def _values(found: Sequence[Agreement]) -> list[float]:
    return [one.measure.value for one in found]


def test_three_definitions_by_hand() -> None:
    """Unit a has pairs xy (same), xz, yz (opposite); unit b has xy (a tie against a side).

    Both sides: 1 of 3. Ties half: (1 + 0 + 0 + 1/2) / 4. Alpha: coincidences of a, each over
    3 - 1: first-first 2/2 = 1, first-second 2/2 = 1 in both directions; of b, over 2 - 1:
    tie-first 1 in both directions. Totals: first 3, second 1, tie 1, all 5. Observed: 4 of 5 are
    different; expected: 1 - (3*2 + 0 + 0) / (5*4) = 0.7. Alpha = 1 - 0.8 / 0.7.
    """
    both_sides, ties_half, nominal = ranking(table(BY_HAND, SIDES))
    assert both_sides.measure.value == pytest.approx(1 / 3)
    assert ties_half.measure.value == pytest.approx(1.5 / 4)
    assert nominal.measure.value == pytest.approx(1 - 0.8 / 0.7)
    assert {one.pairs for one in (both_sides, ties_half, nominal)} == {4}
    # Unit b has no pair with two sides: one prompt is behind the first number.
    assert (both_sides.measure.n, ties_half.measure.n) == (1, 2)
    assert "both took a side" in both_sides.definition


def test_nobody_agrees_where_nobody_shares_a_task() -> None:
    for found in ranking(table(BY_HAND[:1], SIDES)):
        assert math.isnan(found.measure.value)
    for found in ranking(table([], SIDES)):
        assert math.isnan(found.measure.value)
        assert found.pairs == 0


def test_that_all_agree_does_not_make_it_certain() -> None:
    votes = [Vote((i,), f"p{i}", name, 2) for i in range(20) for name in "xyz"]
    both_sides, _, nominal = ranking(table(votes, SIDES))
    assert both_sides.measure == intervals.bounded_mean([1.0] * 20)
    assert both_sides.with_people.low == both_sides.measure.low < 1
    assert math.isnan(nominal.measure.value)  # one category says nothing about agreement


def test_agreement_between_groups_by_hand() -> None:
    """Unit a: x of one group, y and z of the other: pairs xy (same), xz (opposite) count, yz does
    not. Unit b: x and y, a tie against a side."""
    both_sides, ties_half = between(table(BY_HAND, SIDES), {"north": ["x"], "south": ["y", "z"]})
    assert both_sides.measure.value == pytest.approx(1 / 2)
    assert ties_half.measure.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert both_sides.definition.startswith("Between groups: of two people")


_votes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)),
    max_size=40,
    unique_by=lambda v: v[:2],
)


def _made(rows: Sequence[tuple[int, int, int, int]]) -> list[Vote]:
    clusters = {unit: cluster for unit, _, cluster, _ in rows}
    return [Vote((u,), f"c{clusters[u]}", f"p{p}", value) for u, p, _, value in rows]


def _slow(votes: Sequence[Vote], groups: dict[str, int] | None = None) -> tuple[float, float]:
    """Both sides and ties half, pair by pair of votes."""
    same = sided = points = pairs = 0.0
    for a, b in combinations(votes, 2):
        if a.unit == b.unit and (groups is None or groups[a.labeler] != groups[b.labeler]):
            pairs += 1
            points += 1 - abs(a.value - b.value) / 2
            if 1 not in (a.value, b.value):
                sided += 1
                same += a.value == b.value
    return (
        same / sided if sided else math.nan,
        points / pairs if pairs else math.nan,
    )


def _slow_alpha(votes: Sequence[Vote], categories: int, ordinal: bool) -> float:
    """Krippendorff (2018), chapter 12, from pairs of values: observed and expected disagreement."""
    units: dict[Any, list[int]] = {}
    for vote in votes:
        units.setdefault(vote.unit, []).append(vote.value)
    paired = [values for values in units.values() if len(values) > 1]
    pool = [value for values in paired for value in values]
    count = [pool.count(c) for c in range(categories)]

    def far(a: int, b: int) -> float:
        if not ordinal:
            return float(a != b)
        low, high = min(a, b), max(a, b)
        return float((sum(count[low : high + 1]) - (count[a] + count[b]) / 2) ** 2)

    observed = sum(
        far(a, b) / (len(values) - 1)
        for values in paired
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        if i != j
    ) / max(len(pool), 1)
    expected = sum(far(a, b) for a, b in combinations(pool, 2)) * 2
    n = len(pool)
    return 1 - observed / (expected / (n * (n - 1))) if expected else math.nan


@given(_votes)
def test_the_three_definitions_are_those_of_a_slow_count(rows: list[Any]) -> None:
    votes = _made(rows)
    expected = (*_slow(votes), _slow_alpha(votes, 3, ordinal=False))
    assert _values(ranking(table(votes, SIDES))) == pytest.approx(expected, nan_ok=True)


@given(_votes)
@pytest.mark.parametrize("distance", ["nominal", "ordinal"])
def test_alpha_is_that_of_evalica(distance: Distance, rows: list[Any]) -> None:
    """A column of evalica's table is a unit, a row a person."""
    shared = table(_made(rows), SIDES).shared()
    found = alpha("alpha", "", shared, distance).measure.value
    if math.isfinite(found):
        given_ = np.full((len(shared.people), len(shared.cluster)), np.nan)
        given_[shared.person, shared.unit] = shared.value
        assert found == pytest.approx(evalica.alpha(pd.DataFrame(given_), distance).alpha)


@given(_votes)
def test_agreement_between_groups_is_that_of_a_slow_count(rows: list[Any]) -> None:
    votes = _made(rows)
    groups = {"north": ["p0", "p2"], "south": ["p1"], "west": ["p3"]}
    member = {name: i for i, some in enumerate(groups.values()) for name in some}
    expected = _slow(votes, member)
    assert _values(between(table(votes, SIDES), groups)) == pytest.approx(expected, nan_ok=True)


@given(_votes)
def test_ordinal_alpha_is_that_of_a_slow_count(rows: list[Any]) -> None:
    votes = _made(rows)
    found = alpha("alpha", "", table(votes, SIDES).shared(), "ordinal")
    expected = _slow_alpha(votes, 3, ordinal=True)
    assert found.measure.value == pytest.approx(expected, nan_ok=True)


@given(_votes)
def test_sums_without_a_cluster_a_person_or_a_cell_are_exact(rows: list[Any]) -> None:
    votes = _made(rows)
    made = table(votes, SIDES)
    sums = resampling.sums(made, _sides)

    def total(left: Sequence[Vote]) -> list[float]:
        return resampling.sums(table(left, SIDES), _sides).total.tolist() if left else [0.0, 0.0]

    def keys(found: Any) -> list[list[float]]:
        return sorted(row.tolist() for row in sums.total - found)

    def without(key: Any) -> list[list[float]]:
        names = {key(v) for v in votes}
        left = [total([v for v in votes if key(v) != name]) for name in names]
        return sorted(row for row in left if row != sums.total.tolist())

    assert keys(sums.by_cluster()) == without(lambda v: v.cluster)
    assert keys(sums.by_person()) == without(lambda v: v.labeler)
    assert keys(sums.by_cell()) == without(lambda v: (v.cluster, v.labeler))


def _answered(*answers: Answer) -> list[Answered]:
    task = Task("t", "rank", Prompt("p", "?"), ("a", "b"))
    return [
        Answered(task, f"x{i}", answer, Judgment("t", f"x{i}", answer))
        for i, answer in enumerate(answers)
    ]


def test_positive_agreement_by_hand() -> None:
    """On a, two of three set the flag: pairs with a set flag: one of both (counted from either
    side: 2 of 2), two of one (0 of 2). On b nobody does. Positive agreement: 2 / (2 + 2)."""
    answers = [Answer(flags=(("rude",), ())), Answer(flags=(("rude",), ())), Answer(flags=((), ()))]
    found = {one.name: one for one in flagged(_answered(*answers), "rude")}
    assert found["positive"].measure.value == pytest.approx(0.5)
    assert "'rude'" in found["positive"].definition
    # Alpha: 6 votes, 2 set, 4 not. Observed: a has 4/2 different of 6; expected 2*2*4/(6*5).
    assert found["alpha"].measure.value == pytest.approx(1 - (2 / 6) / (16 / 30))


def test_ratings_that_nobody_gave_have_no_agreement() -> None:
    assert likert(_answered(Answer(ranks=(1, 2)))) == ()
    (found,) = likert(_answered(Answer(likert=(1, 7)), Answer(likert=(1, 7))))
    assert found.measure.value == pytest.approx(1.0)


def test_the_report_keeps_held_out_people_and_groups_apart() -> None:
    """x and y agree, z (held out) and w (held out) do not; u is of the other group than x and y."""
    task = Task("t", "rank", Prompt("p", "?"), ("a", "b"))
    first, second = Answer(ranks=(1, 2)), Answer(ranks=(2, 1))
    answers = {"x": first, "y": first, "u": second, "z": first, "w": second}
    people = [
        *(Person("x", "north"), Person("y", "north"), Person("u", "south")),
        *(Person("z", "north", held_out=True), Person("w", held_out=True)),
    ]
    found = report(Round([task], [Judgment("t", k, a) for k, a in answers.items()], people))
    assert found.ranking[0].measure.value == pytest.approx(1 / 3)
    assert found.held_out[0].measure.value == 0.0
    assert found.within["north"][0].measure.value == 1.0
    assert math.isnan(found.within["south"][0].measure.value)
    assert found.between[0].measure.value == 0.0


# --- intervals ---


def _simulated(clusters: int) -> Votes:
    random = np.random.default_rng(0)
    votes = [
        Vote((c, u), f"c{c}", f"x{p}", int(random.choice(3, p=[0.25, 0.15, 0.6])))
        for c in range(clusters)
        for u in range(1 + c % 3)
        for p in random.permutation(6)[: 2 + c % 2].tolist()
    ]
    return table(votes, SIDES)


@pytest.mark.parametrize("clusters", [40, 8])
def test_an_interval_by_prompt_is_that_of_the_framework(clusters: int) -> None:
    """Up to the chance of 2,000 draws: a twentieth of its width. Below 12 prompts both are
    Student's t, where ours is of the jackknife instead of the linearised ratio."""
    votes = _simulated(clusters)
    found = ranking(votes)[0].measure
    sums = resampling.sums(votes.shared(), _sides)
    expected = intervals.ratio(*sums.by_cluster().T.tolist())
    near = (expected.high - expected.low) / (20 if clusters >= intervals.FEW else 6)
    assert (found.value, found.n) == pytest.approx((expected.value, expected.n))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=near)


def test_an_interval_about_people_is_none_for_two() -> None:
    votes = table([Vote((i,), f"p{i}", n, i % 3) for i in range(20) for n in "xy"], SIDES)
    found = ranking(votes)[1]
    assert math.isnan(found.with_people.low)
    assert found.with_people.n == 2


def test_people_who_differ_widen_the_interval_about_people() -> None:
    """Person x takes the other side in all 60 prompts, four others are of one mind: which people
    were asked decides the number, and an interval over prompts alone does not say so."""
    votes = [
        Vote((i,), f"p{i}", name, 0 if name == "x" else 2)
        for i in range(60)
        for name in ("x", "abcd"[i % 4], "abcd"[(i + 1 + i // 4 % 3) % 4])
    ]
    found = ranking(table(votes, SIDES))[0]
    assert found.with_people.high - found.with_people.low > 0.5


# --- real votes ---


def _ukp() -> Round:
    root = os.environ.get("PREFLAB_DATA")
    if not root:
        pytest.skip("PREFLAB_DATA names no folder of real data")
    ranks = {"a1": (1, 2), "a2": (2, 1), "equal": (1, 1)}
    tasks: list[Task] = []
    judgments: list[Judgment] = []

    def read(row: Any) -> None:
        name = fields.text(row, "id")
        tasks.append(Task(name, "rank", Prompt(name, "?", group=row["title"]), ("a1", "a2")))
        for vote in fields.items(row, "votes"):
            judgments.append(Judgment(name, vote["labeler"], Answer(ranks[vote["value"]])))

    for _ in read_table(Path(root) / "ukpconvarg1" / "pairs.jsonl.gz", read):
        pass
    return Round(tasks, judgments, ())


def test_agreement_on_real_votes() -> None:
    """UKPConvArg1's 57,086 votes. Of two workers who take a side 74.4 % take the same one; alpha of
    the same votes is 0.28. By debate the interval is [0.71, 0.78]."""
    asked = _ukp()
    found = report(asked)
    both_sides, ties_half, nominal = found.ranking
    assert both_sides.measure.value == pytest.approx(0.7440, abs=5e-5)
    assert (both_sides.measure.low, both_sides.measure.high) == pytest.approx(
        (0.71, 0.78), abs=0.01
    )
    assert both_sides.measure.n == 12
    assert nominal.measure.value == pytest.approx(0.281, abs=1e-3)
    votes = list(pair_votes(asked.answered()))
    assert len(votes) == 57086
    by_unit: dict[Any, list[Vote]] = {}
    for vote in votes:
        by_unit.setdefault(vote.unit, []).append(vote)
    counted = np.zeros(4)
    for some in by_unit.values():  # an independent count, pair by pair
        for a, b in combinations(some, 2):
            sided = 1 not in (a.value, b.value)
            points = 1 - abs(a.value - b.value) / 2
            counted += (sided and a.value == b.value, sided, points, 1)
    assert both_sides.measure.value == pytest.approx(counted[0] / counted[1])
    assert ties_half.measure.value == pytest.approx(counted[2] / counted[3])
    assert nominal.measure.value == pytest.approx(_alpha_from_pool(by_unit))


def _alpha_from_pool(by_unit: dict[Any, list[Vote]]) -> float:
    """Nominal alpha by counting disagreeing pairs within units and in the pool of all votes."""
    observed = sum(
        2 * sum(a.value != b.value for a, b in combinations(some, 2)) / (len(some) - 1)
        for some in by_unit.values()
        if len(some) > 1
    )
    pool = np.bincount([v.value for some in by_unit.values() if len(some) > 1 for v in some])
    n = int(pool.sum())
    return 1 - (observed / n) / (1 - float((pool * (pool - 1)).sum()) / (n * (n - 1)))


def test_measures_have_the_range_of_what_they_measure() -> None:
    both_sides, _, nominal = ranking(_simulated(40))
    assert (both_sides.measure.least, both_sides.measure.most) == (0.0, 1.0)
    assert isinstance(nominal.measure, Measure)
    assert (nominal.measure.least, nominal.measure.most) == (-1.0, 1.0)
