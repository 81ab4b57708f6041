"""Bradley-Terry strengths of runs."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Task
from preflab_people.statistics.comparison import arms, verdicts
from preflab_people.statistics.strengths import strengths
from preflab_people.statistics.votes import Answered


def _one(i: int, who: str, ranks: tuple[int | None, ...]) -> Answered:
    names = (("a",), ("b",), ("c",))
    task = Task(f"t{i}", "compare", Prompt(f"p{i}", "?"), ("x", "y", "z"), names)
    answer = Answer(ranks=ranks)
    return Answered(task, who, answer, Judgment(task.id, who, answer))


def _random(prompts: int) -> list[Answered]:
    random = np.random.default_rng(0)
    return [_one(i, f"l{i % 6}", _ranks(random)) for i in range(prompts)]


def _ranks(random: np.random.Generator) -> tuple[int, ...]:
    utility = np.array([0.0, 0.4, 1.0]) + random.gumbel(size=3)
    order = (-utility).argsort().argsort() + 1
    return tuple(order.tolist()) if random.random() > 0.2 else (1, 1, 1)


def test_two_runs_by_hand() -> None:
    """b beats a in 3 of 4 verdicts, c is never judged: log odds ln 3 in the pair of a and b."""
    answered = [_one(i, "xy"[i % 2], (2, 1, None) if i < 3 else (1, 2, None)) for i in range(4)]
    assert strengths(answered).problem.startswith("No strengths")  # c was not compared
    pairs = [
        Answered(
            Task(one.task.id, "compare", one.task.prompt, ("x", "y"), (("a",), ("b",))),
            one.labeler,
            Answer(ranks=one.answer.ranks[:2]),
            one.judgment,
        )
        for one in answered
    ]
    found = strengths(pairs)
    assert found.better[("a", "b")].value == pytest.approx(1 / 4)
    assert found.strength["b"].value == pytest.approx(math.log(3) / 2)


def test_strengths_are_the_maximum_of_the_likelihood() -> None:
    answered = _random(60)
    found = strengths(answered)
    names = arms([one.task for one in answered])
    place = {name: i for i, name in enumerate(names)}
    rows = [
        (place[a], place[b], v.value)
        for a, b in permutations(names, 2)
        for v in verdicts(answered, a, b)
    ]

    def loss(s: np.ndarray) -> float:  # a tie is half a win for each
        return float(sum(value * np.log1p(np.exp(s[b] - s[a])) for a, b, value in rows))

    best = minimize(loss, np.zeros(3), tol=1e-12).x
    expected = dict(zip(names, best - best.mean(), strict=True))
    assert {k: m.value for k, m in found.strength.items()} == pytest.approx(expected, abs=1e-4)
    first = found.strength["c"].value - found.strength["a"].value
    assert found.better[("a", "c")].value == pytest.approx(1 / (1 + math.exp(first)))


def test_intervals_hold_the_truth_and_shrink() -> None:
    """Utilities 0, 0.4, 1 with Gumbel errors are Bradley-Terry strengths; ties pull them in, so
    that the order is what must be found."""
    found, few = strengths(_random(240)), strengths(_random(30))
    assert found.strength["a"].high < found.strength["c"].low
    width = {k: m.high - m.low for k, m in found.strength.items()}
    assert all(width[k] < few.strength[k].high - few.strength[k].low for k in width)
    assert found.better[("a", "c")].high < 0.5


def test_a_run_that_never_loses_has_no_strength() -> None:
    found = strengths([_one(i, "xy"[i % 2], (1, 2, 2 + i % 2)) for i in range(10)])
    assert (found.strength, found.better) == ({}, {})
    assert "never lose" in found.problem
    assert strengths([]).problem
