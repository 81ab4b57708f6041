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


def _small(seed: int, prompts: int = 8, people: int = 3) -> list[Answered]:
    """A small round with many ties: utilities with errors are rounded."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(prompts):
        for person in range(people):
            utility = np.round(np.array([0.0, 0.3, 0.6]) + random.gumbel(size=3))
            ranks = tuple(int(1 + (utility > own).sum()) for own in utility)
            found.append(_one(i, f"l{person}", ranks))
    return found


def test_small_rounds_with_ties_have_finite_intervals() -> None:
    """In such rounds people may differ by less than chance alone, and degrees of freedom without a
    floor came near 0: strengths of +-1,700,000 (seed 66), or an overflow."""
    for seed in (52, 66, 73, 95):
        found = strengths(_small(seed))
        assert found.strength
        for measure in found.strength.values():
            assert not measure.high - measure.low > 8
        for chance in found.better.values():
            assert not chance.high - chance.low > 1


def test_strengths_without_one_part_that_do_not_exist_leave_no_interval() -> None:
    """c loses to nobody but on the first prompt: without that prompt it never loses. What is left
    out would be the most influential of all, so that there is no interval, and a sentence why."""
    ranks = [(2, 3, 1) if i % 2 else (3, 2, 1) for i in range(6)]
    ranks[0] = (1, 2, 3)
    found = strengths([_one(i, "xy"[i % 2], own) for i, own in enumerate(ranks)])
    assert all(math.isnan(m.low) and m.n == 2 for m in found.strength.values())
    assert all(math.isnan(m.low) for m in found.better.values())
    assert found.problem.startswith("No intervals of strengths")
    assert strengths(_random(60)).problem == ""
