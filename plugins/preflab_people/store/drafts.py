"""What people have written and not yet sent, kept on the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from preflab_people.store import schema

DRAFTS = schema.drafts.c
_mine = (DRAFTS.task == bindparam("of_task")) & (DRAFTS.labeler == bindparam("of_labeler"))
_draft = select(DRAFTS.body).where(_mine)
_changed = update(schema.drafts).where(_mine).values(body=bindparam("text"), at=bindparam("now"))
_dropped = delete(schema.drafts).where(_mine)


def of(connection: Connection, labeler: str, task: str) -> Mapping[str, Any] | None:
    """A person's draft of a task."""
    text = connection.scalar(_draft, {"of_task": task, "of_labeler": labeler})
    return None if text is None else json.loads(text)


def save(
    connection: Connection, labeler: str, task: str, body: Mapping[str, Any], now: float
) -> None:
    """Keep a draft in the place of the one before."""
    values = {"of_task": task, "of_labeler": labeler, "text": json.dumps(body), "now": now}
    if not connection.execute(_changed, values).rowcount:
        row = {"task": task, "labeler": labeler, "body": values["text"], "at": now}
        connection.execute(insert(schema.drafts), row)


def drop(connection: Connection, labeler: str, task: str | None = None) -> None:
    """Delete a person's draft of a task, or all of them."""
    if task is None:
        connection.execute(delete(schema.drafts).where(DRAFTS.labeler == labeler))
    else:
        connection.execute(_dropped, {"of_task": task, "of_labeler": labeler})
