"""Tasks that people hold for a while. A lease counts as a judgment to come, and lapses when the
page falls silent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from preflab_people.judgments import takes_place
from preflab_people.store import schema, tasks
from preflab_people.store.records import StoreRefusal
from preflab_people.store.settings import RoundSettings

LEASES = schema.leases.c
_mine = (LEASES.task == bindparam("of_task")) & (LEASES.labeler == bindparam("of_labeler"))
_lease = select(schema.leases).where(_mine)
_locked_lease = _lease.with_for_update()
_changed = update(schema.leases).where(_mine)
# A lease that ends later than any lease could was given before the clock was set back.
_ended = (
    select(schema.leases)
    .where(schema.IS_HELD)
    .where(or_(LEASES.until <= bindparam("now"), LEASES.until > bindparam("latest")))
    .with_for_update(skip_locked=True)
)


def release_lapsed(connection: Connection, settings: RoundSettings, now: float) -> None:
    """Give back the tasks of silent pages. After the clock was set back leases begin anew."""
    latest = now + settings.lease_seconds
    ended = connection.execute(_ended, {"now": now, "latest": latest}).mappings().all()
    for row in sorted(ended, key=lambda row: (row["task"], row["labeler"])):
        if row["until"] <= now:
            release(connection, row)
        else:
            change(connection, row["task"], row["labeler"], until=latest)


def release(connection: Connection, lease: RowMapping) -> None:
    """Let others have a task."""
    change(connection, lease["task"], lease["labeler"], state="lapsed")
    if lease["counts"]:
        tasks.count(connection, tasks.locked(connection, lease["task"]), open=1)


def release_all(connection: Connection, labeler: str) -> None:
    """Let others have the tasks that a person holds."""
    held = select(schema.leases).where(LEASES.labeler == labeler, LEASES.state == "held")
    for row in connection.execute(held.order_by(LEASES.task).with_for_update()).mappings().all():
        release(connection, row)


def change(connection: Connection, task: str, labeler: str, **values: Any) -> None:
    """Change a lease."""
    whose = {"of_task": task, "of_labeler": labeler}
    connection.execute(_changed.values(**values), whose)


def find(connection: Connection, labeler: str, task: str) -> RowMapping | None:
    """A person's lease of a task; None if they never had it."""
    whose = {"of_task": task, "of_labeler": labeler}
    return connection.execute(_lease, whose).mappings().one_or_none()


def locked(connection: Connection, labeler: str, task: str) -> RowMapping:
    """A person's lease of a task, kept from others; `StoreRefusal` if they never had it."""
    whose = {"of_task": task, "of_labeler": labeler}
    row = connection.execute(_locked_lease, whose).mappings().one_or_none()
    if row is None:
        raise StoreRefusal("not_yours")
    return row


def give(
    connection: Connection, person: RowMapping, task: RowMapping, until: float, now: float
) -> RowMapping | None:
    """Let a person have a task whose row is locked, or keep it; the lease before, if any."""
    labeler = person["id"]
    before = find(connection, labeler, task["id"])
    counts = takes_place(task["origin"], task["kind"], bool(person["held_out"]))
    if before is None:
        several = int(counts and task["want"] > 1)
        values = {"state": "held", "until": until, "at": now, "several": several}
        row = {"task": task["id"], "labeler": labeler, "counts": int(counts), **values}
        connection.execute(insert(schema.leases), row)
    elif before["state"] == "held":
        change(connection, task["id"], labeler, until=until)
    else:
        change(connection, task["id"], labeler, state="held", until=until, at=now)
    if counts and (before is None or before["state"] in ("lapsed", "skipped")):
        tasks.count(connection, task, open=-1)
    return before
