"""What people have written and not yet sent, kept on the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from preflab_people.store import schema

DRAFTS = schema.drafts.c


def of(connection: Connection, labeler: str, task: str) -> Mapping[str, Any] | None:
    """A person's draft of a task."""
    query = select(DRAFTS.body).where(DRAFTS.task == task, DRAFTS.labeler == labeler)
    text = connection.scalar(query)
    return None if text is None else json.loads(text)


def save(
    connection: Connection, labeler: str, task: str, body: Mapping[str, Any], now: float
) -> None:
    """Keep a draft in the place of the one before."""
    mine = (DRAFTS.task == task) & (DRAFTS.labeler == labeler)
    values = {"body": json.dumps(body), "at": now}
    if not connection.execute(update(schema.drafts).where(mine).values(**values)).rowcount:
        connection.execute(insert(schema.drafts).values(task=task, labeler=labeler, **values))


def drop(connection: Connection, labeler: str, task: str | None = None) -> None:
    """Delete a person's draft of a task, or all of them."""
    mine = DRAFTS.labeler == labeler
    if task is not None:
        mine &= DRAFTS.task == task
    connection.execute(delete(schema.drafts).where(mine))
