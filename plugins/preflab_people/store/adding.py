"""Answers that people gave elsewhere, put into a round as if they had been sent here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection, select

from preflab_people.judgments import Judgment, Person, canonical_digest
from preflab_people.store import (
    assignment,
    checking,
    events,
    leases,
    people,
    schema,
    submissions,
    tasks,
)
from preflab_people.store.records import Added
from preflab_people.store.settings import RoundSettings
from preflab_people.store.submissions import Submission


def add(
    connection: Connection,
    settings: RoundSettings,
    known: Mapping[str, Person],
    judgments: Iterable[Judgment],
    now: float,
) -> Added:
    """Add judgments of tasks of the round, by people who are made if the round has them not:
    paused, without a way in. The same judgment again changes nothing; another one of the same
    person and task is a correction. Nothing is added of people who were forgotten here.
    `StoreRefusal` for an answer that no task of this round can have; then nothing is added."""
    assignment.refuse_if_closed(connection)
    states = dict(connection.execute(select(schema.people.c.id, schema.people.c.state)).all())
    counted = Counter[str]()
    removed: set[str] = set()
    for judgment in judgments:
        who = judgment.labeler
        if who not in states:
            person = known[who]
            people.add(connection, replace(person, state="paused"), None, now)
            states[who] = "paused"
            if person.state == "removed":
                removed.add(who)
        what = (
            "left_out" if states[who] == "forgotten" else _add(connection, settings, judgment, now)
        )
        counted[what] += 1
    for who in sorted(removed):
        people.set_state(connection, who, "removed", now)
        submissions.count_again(connection, settings, who, counts=False)
    return Added(**{name: counted[name] for name in ("new", "changed", "known", "left_out")})


def _add(connection: Connection, settings: RoundSettings, judgment: Judgment, now: float) -> str:
    """What was done: new, changed, or known."""
    who, answer = judgment.labeler, judgment.answer
    person = people.locked(connection, who)
    row = tasks.locked(connection, judgment.task)
    if not answer.skipped:  # other tools have other reasons for a skip
        checking.check(answer, tasks.of_row(row), settings)
    live = submissions.live_answer(connection, who, judgment.task)
    if live is not None and events.answer(connection, live["n"]) == answer:
        return "known"
    leases.give(connection, person, row, now, now)
    lease = leases.locked(connection, who, judgment.task)
    number = 0 if live is None else live["n"]
    key = canonical_digest(["import", judgment.task, who, number])
    facts = (judgment.seconds, judgment.order, judgment.instructions, judgment.at)
    sent = Submission(judgment.task, answer, key, *facts)
    row = tasks.locked(connection, judgment.task)
    submissions.record(connection, settings, who, lease, row, sent, now)
    return "new" if live is None else "changed"
