"""What a round holds at one moment, and how far it is."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import ColumnElement, Connection, case, func, select

from preflab_people.judgments import GONE, Judgment, answer_from_json
from preflab_people.store import choice, consents, events, people, schema, sharing, tasks
from preflab_people.store.records import Instructions, Progress, Snapshot
from preflab_people.store.settings import RoundSettings

TASKS, EVENTS, BODIES = schema.tasks.c, schema.events.c, schema.bodies.c
LEASES = schema.leases.c


def snapshot(connection: Connection, settings: RoundSettings) -> Snapshot:
    """All of a round."""
    rows = connection.execute(select(schema.tasks).order_by(TASKS.n, TASKS.id)).mappings()
    return Snapshot(
        settings,
        tuple(tasks.of_row(row) for row in rows),
        judgments(connection),
        people.everybody(connection),
        tuple(events.history(connection)),
        all_instructions(connection),
        is_closed(connection),
        consents.everything(connection, settings),
        consents.of_answers(connection),
    )


def judgments(connection: Connection) -> tuple[Judgment, ...]:
    """The valid answers of all people who were not forgotten, in the order of their events."""
    query = (
        select(schema.events, BODIES.text)
        .join(schema.bodies, BODIES.event == EVENTS.n)
        .where(schema.IS_LIVE)
        .order_by(EVENTS.n)
    )
    made = []
    for row in connection.execute(query).mappings():
        said = json.loads(row["text"])
        made.append(
            Judgment(
                task=row["task"],
                labeler=row["labeler"],
                answer=answer_from_json(said["answer"]),
                seconds=row["seconds"],
                order=tuple(said["order"]),
                instructions=row["instructions"],
                at=said.get("at") or events.in_words(row["at"]),
                event=row["n"],
            )
        )
    return tuple(made)


def all_instructions(connection: Connection) -> tuple[Instructions, ...]:
    """All versions of the instructions, the oldest first."""
    columns = schema.instructions.c
    rows = connection.execute(select(schema.instructions).order_by(columns.version)).mappings()
    return tuple(Instructions(**row) for row in rows)


def is_closed(connection: Connection) -> bool:
    """Whether the round takes no more answers."""
    query = select(schema.meta.c.value).where(schema.meta.c.key == schema.CLOSED)
    return bool(connection.scalar(query))


def progress(connection: Connection, settings: RoundSettings) -> Progress:
    """How far the round is."""
    missing = TASKS.want - TASKS.done
    is_double, is_missing = TASKS.want > 1, missing > 0
    numbers = {
        "tasks": func.count(),
        "begun": _total(case((TASKS.done > 0, 1), else_=0)),
        "wanted": _total(TASKS.want),
        "done": _total(TASKS.done),
        "double_tasks": _total(case((is_double, 1), else_=0)),
        "double_done": _total(case((is_double & ~is_missing, 1), else_=0)),
        "skipped": _total(TASKS.skips),
        "open": _total(case((is_missing & (TASKS.aside == 0), missing), else_=0)),
        "aside": _total(TASKS.aside),
        "aside_wanted": _total(case((is_missing & (TASKS.aside == 1), missing), else_=0)),
    }
    query = select(*(value.label(name) for name, value in numbers.items()))
    counted = connection.execute(query.where(TASKS.origin == "normal")).mappings().one()
    shared, _ = sharing.sharing(connection)
    judged = _who_judged(connection)
    partners = Counter(me for me, _ in shared)
    return Progress(
        **{name: int(counted[name]) for name in numbers},
        people=people.members(connection, settings),
        fewest_partners=min((partners[me] for me in judged), default=0),
        parts=len(choice.parts(judged, shared)),
        closed=is_closed(connection),
    )


def _total(value: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(value), 0)


def _who_judged(connection: Connection) -> list[str]:
    """People with a valid judgment that a task wanted, those left out who were removed."""
    query = (
        select(LEASES.labeler)
        .join(schema.people, schema.people.c.id == LEASES.labeler)
        .where(schema.people.c.state.not_in(GONE), LEASES.state == "done", LEASES.counts == 1)
        .distinct()
    )
    return sorted(connection.scalars(query))
