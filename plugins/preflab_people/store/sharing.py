"""Which normal task a person gets: those that several people judge come first, and join people."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, TextClause, exists, func, select

from preflab_people.store import choice, schema, tasks

TASKS, LEASES = schema.tasks.c, schema.leases.c
LOOKED_AT = 64
"""Tasks among which the one is chosen that joins people best."""
WAITING = 8
"""Tasks that a person starts for the sake of new partners; beyond it they finish those of the
partners they have."""
ATTEMPTS = 20
"""To find a task that nobody else is just taking, 10 ms apart."""


def normal_task(connection: Connection, labeler: str) -> RowMapping | None:
    """The normal task that a person should judge next."""
    return _of_several(connection, labeler) or _first(connection, labeler, schema.IS_SINGLE)


def _first(connection: Connection, labeler: str, condition: TextClause) -> RowMapping | None:
    """The first open task that nobody else is just taking; it is locked."""
    query = select(schema.tasks).where(condition, tasks.is_free(labeler)).order_by(TASKS.n).limit(1)
    for _ in range(ATTEMPTS):
        row = connection.execute(query.with_for_update(skip_locked=True)).mappings().one_or_none()
        if row is not None or connection.execute(query).first() is None:
            return row
        time.sleep(0.01)  # those that are left are being taken, or given back
    return connection.execute(query.with_for_update()).mappings().one_or_none()


def _of_several(connection: Connection, labeler: str) -> RowMapping | None:
    """A task that several people judge, so that everybody shares tasks with some others and all
    are connected: first one that brings a new partner, then a new one for others to share."""
    started = select(TASKS.id).where(schema.IS_STARTED, tasks.is_free(labeler)).order_by(TASKS.n)
    names = connection.scalars(started.limit(LOOKED_AT)).all()
    if names:
        best = _best(connection, labeler, names)
        if best is not None:
            query = select(schema.tasks).where(TASKS.id == best, schema.IS_STARTED)
            locked = query.with_for_update(skip_locked=True)
            if row := connection.execute(locked).mappings().one_or_none():
                return row
    return _first(connection, labeler, schema.IS_FRESH) or _first(
        connection, labeler, schema.IS_STARTED
    )


def _best(connection: Connection, labeler: str, names: Sequence[str]) -> str | None:
    """The started task that a person should share; None if they should rather start another."""
    others: dict[str, list[str]] = {name: [] for name in names}
    query = select(LEASES.task, LEASES.labeler).where(LEASES.task.in_(names))
    for task, other in connection.execute(query.where(LEASES.state.in_(("held", "done")))):
        others[task].append(other)
    shared, found = sharing(connection)
    mine = next((part for part in found if labeler in part), {labeler})
    values = {n: choice.value_of_sharing(labeler, others[n], shared, mine) for n in names}
    best = max(names, key=lambda name: values[name])  # the first of several
    if any(values[best]):
        return best
    active = select(func.count()).select_from(schema.people)
    active = active.where(schema.people.c.state == "active")
    wanted = min(choice.WANTED_PARTNERS, (connection.scalar(active) or 1) - 1)
    has_all = sum(1 for me, _ in shared if me == labeler) >= wanted and len(found) <= 1
    return best if has_all or _waiting(connection, labeler) >= WAITING else None


def _waiting(connection: Connection, labeler: str) -> int:
    """How many tasks, at most `WAITING`, a person judged that want other people still."""
    judged = select(LEASES.task).where(
        LEASES.task == TASKS.id, LEASES.labeler == labeler, LEASES.state == "done"
    )
    query = select(TASKS.id).where(schema.IS_STARTED, exists(judged)).limit(WAITING)
    return len(connection.execute(query).all())


def sharing(connection: Connection) -> tuple[dict[tuple[str, str], int], list[set[str]]]:
    """By pair of people how many normal tasks both judged, and the parts that these join."""
    columns = schema.partners.c
    query = select(columns.labeler, columns.other, columns.tasks).where(columns.tasks > 0)
    shared = {(row[0], row[1]): row[2] for row in connection.execute(query)}
    return shared, choice.parts({me for me, _ in shared}, shared)
