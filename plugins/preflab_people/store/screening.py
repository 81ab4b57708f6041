"""Trying out new people: their answers against those of a researcher."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations

from sqlalchemy import Connection, RowMapping, select

from preflab_people.judgments import Answer, Task, task_from_json
from preflab_people.store import events, people, schema
from preflab_people.store.records import Try
from preflab_people.store.settings import RoundSettings, Screening

EVENTS, TASKS = schema.events.c, schema.tasks.c


def judge_try(pairs: Iterable[tuple[Task, Answer]], cut: float) -> Try:
    """The outcome of one try.

    Of the pairs that the researcher ordered strictly, a person shares those that they order alike;
    a tie of theirs is half, a pair that they did not judge nothing. Of the flags that the
    researcher or the person set on a response, they share those that both set. Each share that
    can be taken must reach the cut; if none can, nobody has passed.
    """
    right = asked = shared = flagged = 0.0
    for task, answer in pairs:
        expected = task.expected or Answer()
        for first, second in combinations(range(len(expected.ranks)), 2):
            wanted = expected.verdict(first, second)
            if wanted is None or wanted == 0.5:
                continue
            given = answer.verdict(first, second)
            asked += 1
            right += 0.0 if given is None else 1 - abs(wanted - given)
        given_flags = answer.flags or ((),) * len(expected.flags)
        for theirs, own in zip(expected.flags, given_flags, strict=True):
            flagged += len({*theirs, *own})
            shared += len({*theirs} & {*own})
    parts = (right / asked if asked else None, shared / flagged if flagged else None)
    measured = [part for part in parts if part is not None]
    return Try(*parts, passed=bool(measured) and min(measured) >= cut)


def finish_try(connection: Connection, settings: RoundSettings, labeler: str, now: float) -> None:
    """Judge a try when its last task was answered, and let the person work if they passed."""
    screening = settings.screening
    if screening is None:
        return
    before = len(people.tries(connection, labeler).get(labeler, ()))
    answered = _answers(connection, labeler)
    if len(answered) < (before + 1) * screening.tasks:
        return
    outcome = judge_try(answered[before * screening.tasks :], screening.cut)
    said = {"pairs": outcome.pairs, "flags": outcome.flags, "passed": outcome.passed}
    events.append(connection, "screened", now, said, labeler=labeler)
    if outcome.passed:
        people.set_state(connection, labeler, "active", now)


def is_over(
    connection: Connection, screening: Screening | None, labeler: str, task: RowMapping
) -> bool:
    """Whether a task belongs to a try of a person's screening that has been judged."""
    if task["origin"] != "screening" or screening is None:
        return False
    judged = len(people.tries(connection, labeler).get(labeler, ()))
    names = [done.id for done, _ in _answers(connection, labeler)]
    return task["id"] in names[: judged * screening.tasks]


def _answers(connection: Connection, labeler: str) -> list[tuple[Task, Answer]]:
    """A person's valid answers to screening tasks, in the order of the tasks."""
    query = (
        select(TASKS.payload, EVENTS.n)
        .join(schema.events, EVENTS.task == TASKS.id)
        .where(EVENTS.labeler == labeler, schema.IS_LIVE, TASKS.origin == "screening")
        .order_by(TASKS.n)
    )
    return [
        (task_from_json(json.loads(payload)), events.answer(connection, n) or Answer())
        for payload, n in connection.execute(query).all()
    ]
