"""The bias of position."""

from __future__ import annotations

import pytest

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Task
from preflab_people.statistics.position import best_by_place, earlier_preferred
from preflab_people.statistics.votes import Answered


def _one(i: int, ranks: tuple[int | None, ...], order: tuple[int, ...], who: str = "x") -> Answered:
    task = Task(f"t{i}", "rank", Prompt(f"p{i}", "?"), tuple("abcd"[: len(ranks)]))
    answer = Answer(ranks=ranks)
    return Answered(task, who, answer, Judgment(task.id, who, answer, order=order))


def test_what_was_shown_earlier_by_hand() -> None:
    """Shown b, a, c with ranks a 1, b 2, c 2: b-a later, a-c earlier, b-c a tie. Shown a, b with a
    unjudged: no pair."""
    found = earlier_preferred([_one(0, (1, 2, 2), (1, 0, 2)), _one(1, (None, 1), (0, 1))])
    assert found.value == pytest.approx(0.5)


def test_an_order_that_is_not_known_says_nothing() -> None:
    assert earlier_preferred([_one(0, (1, 2), ())]).n == 0


def test_the_best_by_place_by_hand() -> None:
    """Three tasks of two: best at the first place, at the second, and both: shares 1, 0, 1/2."""
    rows = [
        *(_one(0, (1, 2), (0, 1)), _one(1, (1, 2), (1, 0), "y"), _one(2, (1, 1), (1, 0))),
        _one(3, (1, 2, 3), (0, 1, 2)),
    ]
    assert [m.value for m in best_by_place(rows, 2)] == [0.5, 0.5]
    assert [m.value for m in best_by_place(rows, 3)] == [1.0, 0.0, 0.0]


def test_people_without_a_bias_have_the_even_share_in_the_interval() -> None:
    """Forty tasks whose better response is at each place in turn."""
    rows = [_one(i, (1, 2), ((0, 1), (1, 0))[i // 2 % 2], "xy"[i % 2]) for i in range(40)]
    found = earlier_preferred(rows)
    assert found.low < 0.5 < found.high
    assert all(m.low < 0.5 < m.high for m in best_by_place(rows, 2))
