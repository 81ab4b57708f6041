"""Which answers fit which tasks."""

from __future__ import annotations

import pytest

from people.store.rounds import settings, tasks
from preflab_people.judgments import Answer, Task
from preflab_people.store import StoreRefusal
from preflab_people.store.checking import check

RANK = tasks(single=1)[0]  # of three responses; the flags are rude and untrue
WRITE = Task("w", "demonstrate", RANK.prompt)


@pytest.mark.parametrize(
    "task,answer",
    [
        (RANK, Answer((1, 2, 3))),
        (RANK, Answer((1, 1, None), (7, None, 1), (("rude",), (), ("untrue", "rude")))),
        (RANK, Answer(written="All were bad; better so.")),
        (RANK, Answer(skipped="unclear")),
        (WRITE, Answer(written="An apple.")),
        (WRITE, Answer(skipped="broken")),
    ],
)
def test_it_fits(task: Task, answer: Answer) -> None:
    check(answer, task, settings())


@pytest.mark.parametrize(
    "task,answer,said",
    [
        (RANK, Answer((1, 2)), "ranks must be given for each of the 3 responses, not for 2"),
        (RANK, Answer((0, 1, 2)), "a rank is a number from 1 to 3"),
        (RANK, Answer((1, 2, 4)), "a rank is a number from 1 to 3"),
        (RANK, Answer((1, 2, 3), (8, 1, 1)), "a rating is a number from 1 to 7"),
        (RANK, Answer((1, 2, 3), flags=((), (), ("odd",))), "there is no flag 'odd'"),
        (RANK, Answer((None, None, None)), "no response was ranked"),
        (RANK, Answer(written=" \n"), "no response was ranked"),
        (RANK, Answer(skipped="bored"), "must be one of: not my language, unclear"),
        (WRITE, Answer(written="  "), "nothing was written"),
        (WRITE, Answer((1,), written="x"), "ranks must be given for each of the 0 responses"),
    ],
)
def test_it_does_not_fit(task: Task, answer: Answer, said: str) -> None:
    with pytest.raises(StoreRefusal, match="The answer does not fit the task") as refused:
        check(answer, task, settings())
    assert said in str(refused.value)
    assert refused.value.code == "bad_answer"
