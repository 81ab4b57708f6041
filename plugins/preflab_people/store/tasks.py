"""The tasks of a round as rows, with counters of what they still want."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, exists, insert, select, update

from preflab_people.judgments import Task, task_from_json, task_to_json
from preflab_people.store import schema

TASKS, LEASES = schema.tasks.c, schema.leases.c


def count(connection: Connection, task: str, **changes: int) -> None:
    """Add to the counters of a task, if it is a normal one: the others are not counted."""
    values = {name: TASKS[name] + change for name, change in changes.items()}
    normal = (TASKS.id == task) & (TASKS.origin == "normal")
    connection.execute(update(schema.tasks).where(normal).values(**values))


def locked(connection: Connection, task: str) -> RowMapping:
    """A task's row, kept from others until the end of the transaction."""
    query = select(schema.tasks).where(TASKS.id == task).with_for_update()
    return connection.execute(query).mappings().one()


def of_row(row: RowMapping) -> Task:
    """The task that a row of the table holds."""
    return task_from_json(json.loads(row["payload"]))


def is_free(labeler: str) -> ColumnElement[bool]:
    """The person neither holds nor answered the task."""
    has = select(LEASES.task).where(
        LEASES.task == TASKS.id, LEASES.labeler == labeler, LEASES.state != "lapsed"
    )
    return ~exists(has)


def add(connection: Connection, task: Task, n: int) -> None:
    """Put a task into the store."""
    connection.execute(insert(schema.tasks), [values_of(task, n)])


def values_of(task: Task, n: int) -> dict[str, Any]:
    """A task as a row of the table. Only normal tasks are open to all."""
    return {
        "id": task.id,
        "n": n,
        "kind": task.kind,
        "origin": task.origin,
        "repeats": task.repeats,
        "payload": json.dumps(task_to_json(task)),
        "want": task.want,
        "open": task.want if task.origin == "normal" else 0,
    }
