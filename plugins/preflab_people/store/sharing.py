"""Which normal task a person gets: those that several people judge come first, and join people.

Everybody gets a fair share of these tasks, and spreads it over others: first tasks that bring a new
partner, then new ones for others to share. Once that is done come the tasks that one person judges,
and in the end whatever is left.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, RowMapping, Select, TextClause, bindparam, exists, func, select

from preflab_people.judgments import TaskKind, takes_place
from preflab_people.store import choice, schema
from preflab_people.store.tasks import IS_FREE

TASKS, LEASES, PARTNERS = schema.tasks.c, schema.leases.c, schema.partners.c
LOOKED_AT = 500
"""Started tasks among which partners are looked for."""
WAITING = 8
"""Tasks that a person starts for the sake of new partners; beyond it they finish those of the
partners they have."""
ATTEMPTS = 20
"""To find a task that nobody else is just taking, 10 ms apart."""


def _first_of(condition: TextClause) -> Select[*tuple[object, ...]]:
    return select(schema.tasks).where(condition, IS_FREE).order_by(TASKS.n).limit(1)


_singles, _fresh = (_first_of(condition) for condition in (schema.IS_SINGLE, schema.IS_FRESH))
_any = (
    select(schema.tasks)
    .where(TASKS.origin == "normal", TASKS.aside == 0, IS_FREE)
    .order_by(TASKS.n)
    .limit(1)
)
_has = LEASES.state.in_(("held", "done"))
_started = select(TASKS.id).where(schema.IS_STARTED, IS_FREE).order_by(TASKS.n).limit(LOOKED_AT)
_others = select(LEASES.task, LEASES.labeler).where(
    LEASES.task.in_(bindparam("names", expanding=True)), _has
)
_chosen = (
    select(schema.tasks)
    .where(TASKS.id == bindparam("name"), schema.IS_STARTED)
    .with_for_update(skip_locked=True)
)
_shared = select(PARTNERS.labeler, PARTNERS.other, PARTNERS.tasks).where(PARTNERS.tasks > 0)
_active = (
    select(func.count())
    .select_from(schema.people)
    .where(schema.people.c.state == "active")
    .where(schema.people.c.held_out <= bindparam("held_out"))
)
_places = select(schema.meta.c.value).where(schema.meta.c.key == schema.PLACES)
_mine = (
    select(func.count())
    .select_from(schema.leases)
    .where(schema.OF_SEVERAL, LEASES.labeler == bindparam("labeler"), _has)
)
_judged = select(LEASES.task).where(
    LEASES.task == TASKS.id, LEASES.labeler == bindparam("labeler"), LEASES.state == "done"
)
_waiting = select(TASKS.id).where(schema.IS_STARTED, exists(_judged)).limit(WAITING)


def normal_task(connection: Connection, kind: TaskKind, person: RowMapping) -> RowMapping | None:
    """The normal task that a person should judge next in a round of a kind; its row is locked if
    their judgment is one of those that it wants."""
    labeler, kinds = person["id"], {"held_out": int(takes_place("normal", kind, True))}
    if not takes_place("normal", kind, bool(person["held_out"])):
        return connection.execute(_any, {"labeler": labeler}).mappings().one_or_none()
    started = _by_person(connection, labeler)
    fresh = _first(connection, labeler, _fresh)
    if started or fresh is not None:
        shared, parts = sharing(connection)
        others = choice.by_value(labeler, started, shared, parts)
        people = max(1, connection.scalar(_active, kinds) or 1)
        share = choice.fair_share(int(connection.scalar(_places) or 0), people)
        row = _fair(connection, labeler, started, others, shared, len(parts) <= 1, fresh, share)
        row = row or _first(connection, labeler, _singles) or fresh
        return row or _take(connection, [started[other] for other in others])
    return _first(connection, labeler, _singles)


def _by_person(connection: Connection, labeler: str) -> dict[str, str]:
    """By other person: the first task that they have, and that the person could share."""
    names = connection.scalars(_started, {"labeler": labeler}).all()
    if not names:
        return {}
    place = {name: number for number, name in enumerate(names)}
    rows = connection.execute(_others, {"names": names}).all()
    return {row[1]: row[0] for row in sorted(rows, key=lambda row: -place[row[0]])}


def _fair(
    connection: Connection,
    labeler: str,
    started: dict[str, str],
    others: list[str],
    shared: choice.Shared,
    is_one: bool,
    fresh: RowMapping | None,
    share: choice.Share,
) -> RowMapping | None:
    """A task within the person's fair share of those that several people judge. is_one: all who
    share tasks are connected."""
    if (connection.scalar(_mine, {"labeler": labeler}) or 0) >= share.tasks:
        return None
    has_all = sum(me == labeler for me, _ in shared) >= share.partners and is_one
    for other in others:
        number = shared.get((labeler, other), 0)
        if number >= share.with_one:
            continue
        if number and not has_all and _waits(connection, labeler) < WAITING and fresh is not None:
            break
        if row := _take(connection, [started[other]]):
            return row
    return fresh


def _waits(connection: Connection, labeler: str) -> int:
    """How many tasks, at most `WAITING`, a person judged that want other people still."""
    return len(connection.execute(_waiting, {"labeler": labeler}).all())


def _take(connection: Connection, names: list[str]) -> RowMapping | None:
    """The first of some started tasks that nobody else is just taking."""
    for name in names:
        row = connection.execute(_chosen, {"name": name}).mappings().one_or_none()
        if row is not None:
            return row
    return None


def _first(
    connection: Connection, labeler: str, query: Select[*tuple[object, ...]]
) -> RowMapping | None:
    """The first open task that nobody else is just taking."""
    mine = {"labeler": labeler}
    if connection.dialect.name == "sqlite":  # one writer at a time
        return connection.execute(query, mine).mappings().one_or_none()
    unlocked = query.with_for_update(skip_locked=True)
    for _ in range(ATTEMPTS):
        row = connection.execute(unlocked, mine).mappings().one_or_none()
        if row is not None or connection.execute(query, mine).first() is None:
            return row
        time.sleep(0.01)  # those that are left are being taken, or given back
    return connection.execute(query.with_for_update(), mine).mappings().one_or_none()


def sharing(connection: Connection) -> tuple[dict[tuple[str, str], int], list[set[str]]]:
    """By pair of people how many normal tasks both judged, and the parts that these join."""
    shared = {(row[0], row[1]): row[2] for row in connection.execute(_shared)}
    return shared, choice.parts({me for me, _ in shared}, shared)
