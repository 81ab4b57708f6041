"""Runs compared by people."""

from __future__ import annotations

import math

import pytest

from preflab.intervals import FEW
from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Task
from preflab_people.statistics.comparison import (
    arms,
    by_group,
    flag_shares,
    likert,
    win_by_prompt,
    win_rate,
    win_rates,
)
from preflab_people.statistics.votes import Answered

ARMS = (("sft",), ("ppo", "ptx"))


def _one(
    i: int,
    who: str,
    answer: Answer,
    texts: tuple[str, ...] = ("short", "a longer one"),
    named: tuple[tuple[str, ...], ...] = ARMS,
) -> Answered:
    task = Task(f"t{i}", "compare", Prompt(f"p{i}", "?"), texts, named)
    return Answered(task, who, answer, Judgment(task.id, who, answer))


PPO, SFT, TIE = Answer(ranks=(2, 1)), Answer(ranks=(1, 2)), Answer(ranks=(1, 1))


def test_a_win_rate_by_hand() -> None:
    """Prompt 0: ppo wins for x, loses for y: 1/2. Prompt 1: a tie: 1/2. Prompt 2: ppo wins: 1."""
    answered = [_one(0, "x", PPO), _one(0, "y", SFT), _one(1, "x", TIE), _one(2, "y", PPO)]
    found = win_rate(answered, "ppo", "sft")
    assert found.about_people.value == pytest.approx(2 / 3)
    assert win_by_prompt(answered, "ppo", "sft") == {"p0": 0.5, "p1": 0.5, "p2": 1.0}
    assert (found.about_people.n, found.labelers) == (3, 2)
    # "a longer one" has 12 characters, "short" 5; of three sided verdicts two are for the longer.
    assert found.length_gap.value == 7
    assert found.longer_preferred.value == pytest.approx(2 / 3)
    # By labeler: x 3/4 of two prompts, y 1/2.
    assert found.over_labelers is not None
    assert found.over_labelers.value == pytest.approx(0.625)
    assert win_rate(answered, "sft", "ppo").about_people.value == pytest.approx(1 / 3)


def test_runs_with_one_text_are_tied() -> None:
    found = win_rate([_one(0, "x", PPO), _one(1, "y", SFT)], "ppo", "ptx")
    assert found.about_people.value == 0.5
    assert found.length_gap.value == 0


def test_a_response_that_was_not_judged_has_no_verdict() -> None:
    answer = Answer(ranks=(None, 1))
    assert math.isnan(win_rate([_one(0, "x", answer)], "ppo", "sft").about_people.value)
    assert win_by_prompt([_one(0, "x", Answer(likert=(1, 2)))], "ppo", "sft") == {}


def test_students_t_only_where_labelers_are_few() -> None:
    many = [_one(i, f"x{i % FEW}", PPO if i % 3 else SFT) for i in range(4 * FEW)]
    assert win_rate(many, "ppo", "sft").over_labelers is None
    assert win_rate([], "ppo", "sft").over_labelers is None


def test_every_run_against_the_first() -> None:
    answered = [_one(0, "x", PPO)]
    assert arms([one.task for one in answered]) == ["sft", "ppo", "ptx"]
    found = win_rates(answered)
    assert [(w.arm, w.versus) for w in found] == [("ppo", "sft"), ("ptx", "sft"), ("ptx", "ppo")]
    assert [(w.arm, w.versus) for w in win_rates(answered, "ppo")] == [
        ("sft", "ppo"),
        ("ptx", "ppo"),
    ]


def test_groups_see_it_apart() -> None:
    answered = [_one(0, "x", PPO), _one(0, "y", SFT)]
    found = by_group(answered, {"north": ["x"], "south": ["y"]}, "ppo", "sft")
    assert {k: v.about_prompts.value for k, v in found.items()} == {"north": 1.0, "south": 0.0}


def test_ratings_and_flags_by_run() -> None:
    """ppo: prompt 0 rated 6 by x and 4 by y, prompt 1 rated 7 by x: (5 + 7) / 2. The flag is set on
    ppo by y at prompt 0 alone: (1/2 + 0) / 2."""
    answered = [
        _one(0, "x", Answer(likert=(1, 6), flags=((), ()))),
        _one(0, "y", Answer(likert=(2, 4), flags=((), ("rude",)))),
        _one(1, "x", Answer(likert=(None, 7), flags=((), ()))),
    ]
    assert likert(answered, "ppo").value == 6.0
    assert likert(answered, "sft").value == 1.5
    assert flag_shares(answered, "ppo")["rude"].value == 0.25
    assert flag_shares(answered, "sft")["rude"].value == 0.0
    assert math.isnan(likert(answered, "other").value)
