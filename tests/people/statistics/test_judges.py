"""Judges that are not people, beside people."""

from __future__ import annotations

import pytest

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Task
from preflab_people.statistics.judges import by_scores, judge_agreement
from preflab_people.statistics.votes import Answered

SCORES = {"t0": [3.0, 2.0, 1.0], "t1": [1.0, 1.0, 2.0]}


def _one(i: int, who: str, ranks: tuple[int, ...]) -> Answered:
    task = Task(f"t{i}", "rank", Prompt(f"p{i}", "?"), ("a", "b", "c"))
    answer = Answer(ranks=ranks)
    return Answered(task, who, answer, Judgment(task.id, who, answer))


def test_agreement_with_a_judge_by_hand() -> None:
    """x on t0, ranks 1 2 3: all three pairs as the judge. y on t0, ranks 2 1 1: ab and ac
    otherwise, bc a tie, which does not count. y on t1, ranks 1 2 3: ab is a tie of the judge (1/2),
    ac and bc otherwise. 3.5 of 8. People on t0: ab and ac with two sides, both opposite: 0."""
    answered = [_one(0, "x", (1, 2, 3)), _one(0, "y", (2, 1, 1)), _one(1, "y", (1, 2, 3))]
    found = judge_agreement(answered, by_scores(lambda task: SCORES[task.id]))
    assert found.about_people.value == pytest.approx(3.5 / 8)
    assert (found.pairs, found.people.measure.value) == (8, 0.0)


def test_a_judge_is_asked_once_about_a_pair_and_scores_a_task_once() -> None:
    asked: list[str] = []

    def scores(task: Task) -> list[float]:
        asked.append(task.id)
        return SCORES[task.id]

    judge_agreement([_one(0, "x", (1, 2, 3)), _one(0, "y", (1, 2, 3))], by_scores(scores))
    assert asked == ["t0"]


def test_a_probability_is_a_preference() -> None:
    found = judge_agreement([_one(0, "x", (1, 2, 2))], lambda task, first, second: 0.51)
    assert found.about_prompts.value == 1.0
