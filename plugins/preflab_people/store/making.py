"""Making a store, and knowing one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert, select

from preflab.errors import UserError
from preflab_people.judgments import Task
from preflab_people.store import events, migrating, schema, tasks
from preflab_people.store.database import Database
from preflab_people.store.settings import RoundSettings, settings_from_json, settings_to_json


def make(
    connection: Connection, settings: RoundSettings, content: Sequence[Task], now: float
) -> None:
    """Make the tables of a round, with its tasks in them. Nobody is tried out more often than there
    are other screening tasks to do it with."""
    if settings.screening is not None:
        tries = sum(task.origin == "screening" for task in content) // settings.screening.tasks
        fewer = replace(settings.screening, tries=min(tries, settings.screening.tries))
        settings = replace(settings, screening=fewer)
    schema.metadata.create_all(connection, checkfirst=False)
    said = settings_to_json(settings)
    places = sum(task.want for task in content if task.origin == "normal" and task.want > 1)
    facts = {"schema": str(schema.SCHEMA), "settings": json.dumps(said)}
    facts |= {schema.CLOSED: "", schema.PLACES: str(places)}
    rows = [{"key": key, "value": value} for key, value in facts.items()]
    connection.execute(insert(schema.meta), rows)
    start = {"id": 1, "n": 0, "chain": events.START, "at": now}
    connection.execute(insert(schema.head), start)
    connection.execute(insert(schema.tasks), [tasks.values_of(t, n) for n, t in enumerate(content)])
    made = {"settings": said, "tasks": [[task.id, task.digest] for task in content]}
    events.append(connection, "created", now, made)


def known_settings(database: Database) -> RoundSettings:
    """The settings of the round that a database holds, in today's form; `UserError` if there is
    none, or one that this preflab cannot read."""
    migrating.to_newest(database)
    with database.reading() as connection:
        query = select(schema.meta.c.value).where(schema.meta.c.key == "settings")
        said = connection.scalar(query)
    try:
        return settings_from_json(json.loads(said or ""))
    except (ValueError, TypeError, KeyError) as error:
        raise migrating.damaged(database, error) from None


def check_tasks(settings: RoundSettings, content: Sequence[Task]) -> None:
    """`UserError` for tasks that no round can have."""
    if not any(task.origin == "normal" for task in content):
        raise UserError("A round needs at least one task that is neither gold nor screening.")
    seen: set[str] = set()
    for task in content:
        if task.id in seen:
            raise UserError(f"Task {task.id} is there twice: the same prompt, the same responses.")
        seen.add(task.id)
        if task.want < 1:
            raise UserError(f"Task {task.id} wants {task.want} judgments: at least 1.")
        if task.origin in ("gold", "screening") and task.expected is None:
            raise UserError(f"Task {task.id} is {task.origin}: say what answer is expected.")
    tried = sum(task.origin == "screening" for task in content)
    if settings.screening is not None and tried < settings.screening.tasks:
        raise UserError(
            f"A screening has {settings.screening.tasks} tasks, and there are {tried}: add "
            "screening tasks, or ask for fewer."
        )
