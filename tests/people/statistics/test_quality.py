"""A person's record."""

from __future__ import annotations

import math

import pytest

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics.quality import PersonRecord, records
from preflab_people.statistics.votes import Round

FIRST, SECOND, TIE = Answer(ranks=(1, 2)), Answer(ranks=(2, 1)), Answer(ranks=(1, 1))


def _task(i: int, origin: str = "normal", **values: object) -> Task:
    prompt = Prompt(f"p{i}", "?")
    return Task(f"{origin}{i}", "rank", prompt, ("a", "b"), origin=origin, **values)  # type: ignore[arg-type]


def _record(asked: Round, labeler: str) -> PersonRecord:
    return next(one for one in records(asked) if one.labeler == labeler)


def test_agreement_with_the_others_leaves_the_person_out() -> None:
    """Prompt 0: x first; y first, z second: 1 of 2. Prompt 1: x first; y a tie: nothing. Prompt 2:
    x a tie: nothing. Prompt 3: x second; y, z second: 2 of 2. y and z alone do not matter."""
    said = {
        0: {"x": FIRST, "y": FIRST, "z": SECOND},
        1: {"x": FIRST, "y": TIE},
        2: {"x": TIE, "y": FIRST, "z": SECOND},
        3: {"x": SECOND, "y": SECOND, "z": SECOND},
    }
    asked = Round(
        [_task(i) for i in said],
        [Judgment(f"normal{i}", who, a) for i, some in said.items() for who, a in some.items()],
        [Person(name) for name in "xyz"],
    )
    record = _record(asked, "x")
    assert record.agreement.value == pytest.approx(3 / 4)
    assert record.agreement.n == 2
    assert record.ties.value == pytest.approx(1 / 4)
    assert record.judged == 4


def test_a_person_alone_agrees_with_nobody() -> None:
    record = _record(Round([_task(0)], [Judgment("normal0", "x", FIRST)], [Person("x")]), "x")
    assert math.isnan(record.agreement.value)
    assert record.remarks == ()


def test_retests_are_compared_with_the_persons_own_first_answer() -> None:
    """Retest 0: the same, 1; retest 1: a tie against a side, 0.5; retest 2: the opposite, 0. What y
    said does not matter."""
    tasks = [_task(i) for i in range(3)]
    again = [_task(i, "retest", repeats=f"normal{i}") for i in range(3)]
    asked = Round(
        [*tasks, *again],
        [
            *(Judgment(f"normal{i}", "x", FIRST) for i in range(3)),
            *(Judgment(f"normal{i}", "y", SECOND) for i in range(3)),
            *(Judgment(f"retest{i}", "x", a) for i, a in enumerate((FIRST, TIE, SECOND))),
        ],
        [Person("x"), Person("y")],
    )
    assert _record(asked, "x").retest.value == pytest.approx(0.5)
    assert math.isnan(_record(asked, "y").retest.value)


def test_gold_is_scored_on_pairs_with_a_side() -> None:
    """Expected 1 2 2 of a, b, c: pairs ab and ac count, bc is a tie. Given 1 3 1: right, half."""
    expected, given = Answer(ranks=(1, 2, 2)), Answer(ranks=(1, 3, 1))
    task = Task("g", "rank", Prompt("p", "?"), ("a", "b", "c"), origin="gold", expected=expected)
    asked = Round([task], [Judgment("g", "x", given)], [Person("x")])
    record = _record(asked, "x")
    assert record.gold.value == pytest.approx(0.75)
    assert record.judged == 0  # gold is not work done


def test_a_gold_pair_that_was_not_judged_is_nothing() -> None:
    expected, given = Answer(ranks=(1, 2, 3)), Answer(ranks=(1, None, 2))
    task = Task("g", "rank", Prompt("p", "?"), ("a", "b", "c"), origin="gold", expected=expected)
    asked = Round([task], [Judgment("g", "x", given)], [Person("x")])
    assert _record(asked, "x").gold.value == pytest.approx(1 / 3)


def test_habits() -> None:
    """Twelve tasks: what is shown first is always called better (in turn the first and the second
    response), in 5 s a task, where y, who looks, takes a minute."""
    tasks = [_task(i) for i in range(12)]
    order = {i: (0, 1) if i % 2 else (1, 0) for i in range(12)}
    habit = [
        Judgment(f"normal{i}", "x", FIRST if i % 2 else SECOND, seconds=5.0, order=order[i])
        for i in range(12)
    ]
    look = [Judgment(f"normal{i}", "y", FIRST, seconds=60.0, order=order[i]) for i in range(12)]
    skips = [Judgment(f"normal{i}", "z", Answer(skipped="unclear")) for i in range(3)]
    asked = Round(tasks, [*habit, *look, *skips], [Person(name, "g") for name in "xyz"])
    x, y, z = (_record(asked, name) for name in "xyz")
    assert (x.earlier.value, y.earlier.value) == pytest.approx((1.0, 0.5))
    assert (x.same_pattern, x.longest_run) == (1.0, 12)
    assert (y.same_pattern, y.longest_run) == (0.5, 1)
    assert x.median_seconds == 5.0
    assert [*x.remarks] == [
        "prefers what is shown earlier",
        "one pattern of ranks in 100% of tasks",
        "5 s a task, where 32 s are usual",
    ]
    assert y.remarks == ()
    assert (z.judged, z.skips, z.group) == (0, {"unclear": 3}, "g")


def test_people_who_are_gone_have_no_record() -> None:
    people = [Person("x"), Person("y", state="removed")]
    assert [one.labeler for one in records(Round([_task(0)], [], people))] == ["x"]
