"""The tasks of a round as rows, with counters of what they still want.

Statements that every task needs are made once, when a module is imported: SQLAlchemy takes longer
to make one than a database to answer it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    exists,
    insert,
    select,
    update,
)

from preflab_people.judgments import Task, task_from_json, task_to_json
from preflab_people.store import schema

TASKS = schema.tasks.c
COUNTERS = ("open", "done", "skips")
_row = select(schema.tasks).where(TASKS.id == bindparam("name"))
_locked_row = _row.with_for_update()
_counted = (
    update(schema.tasks)
    .where(TASKS.id == bindparam("name"))
    .values({name: TASKS[name] + bindparam(f"more_{name}") for name in COUNTERS})
    .values(aside=bindparam("is_aside"))
)
_theirs = schema.leases.alias()
IS_FREE: ColumnElement[bool] = ~exists(
    select(_theirs.c.task).where(
        _theirs.c.task == TASKS.id,
        _theirs.c.labeler == bindparam("labeler"),
        _theirs.c.state != "lapsed",
    )
)
"""The person, a parameter called labeler, neither holds nor answered the task."""


def count(
    connection: Connection,
    task: RowMapping,
    open: int = 0,
    done: int = 0,
    skips: int = 0,
    skip_limit: int | None = None,
) -> None:
    """Add to the counters of a task whose row is locked. Only judgments that it wants are counted.
    skip_limit: a task that so many people skipped is given to nobody else."""
    aside = task["aside"]
    if skip_limit is not None:
        aside = int(task["skips"] + skips >= skip_limit)
    changes = {"more_open": open, "more_done": done, "more_skips": skips, "is_aside": aside}
    connection.execute(_counted, {"name": task["id"], **changes})


def find(connection: Connection, task: str) -> RowMapping | None:
    """A task's row."""
    return connection.execute(_row, {"name": task}).mappings().one_or_none()


def locked(connection: Connection, task: str) -> RowMapping:
    """A task's row, kept from others until the end of the transaction."""
    return connection.execute(_locked_row, {"name": task}).mappings().one()


def of_row(row: RowMapping) -> Task:
    """The task that a row of the table holds."""
    return task_from_json(json.loads(row["payload"]))


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
