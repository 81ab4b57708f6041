"""Who gets which task.

Locks on PostgreSQL are taken in the order person, lease, task, end of the history. SQLite has one
writer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, RowMapping, bindparam, exists, func, or_, select

from preflab_people.judgments import Answer, Task, shown_order, task_id
from preflab_people.store import (
    choice,
    consents,
    drafts,
    events,
    leases,
    people,
    schema,
    sharing,
    tasks,
)
from preflab_people.store.records import Assignment, StoreRefusal
from preflab_people.store.settings import RoundSettings

TASKS, LEASES, EVENTS, DRAFTS = (
    table.c for table in (schema.tasks, schema.leases, schema.events, schema.drafts)
)
_me: BindParameter[str] = bindparam("labeler")
_closed = select(schema.meta.c.value).where(schema.meta.c.key == schema.CLOSED)
_closed = _closed.with_for_update(read=True)
_mine = (
    select(schema.tasks).join(schema.leases, LEASES.task == TASKS.id).where(LEASES.labeler == _me)
)
_own = _mine.where(LEASES.state == "held").order_by(LEASES.at.desc(), TASKS.n).limit(1)
_begun = (
    _mine.join(schema.drafts, (DRAFTS.task == TASKS.id) & (DRAFTS.labeler == _me))
    .where(LEASES.state == "lapsed", or_(TASKS.open > 0, LEASES.counts == 0))
    .order_by(DRAFTS.at.desc())
    .limit(1)
    .with_for_update(of=schema.tasks, skip_locked=True)
)
_special = select(TASKS.id).where(TASKS.origin == bindparam("origin"), tasks.IS_FREE)
_special = _special.order_by(TASKS.n)
_again = schema.tasks.alias()
_repeats = (
    select(LEASES.task)
    .join(_again, _again.c.id == LEASES.task)
    .where(LEASES.labeler == _me, LEASES.state != "lapsed", _again.c.repeats == EVENTS.task)
)
_live = select(EVENTS.n).where(EVENTS.labeler == _me, schema.IS_LIVE).order_by(EVENTS.n.desc())
_earlier = (
    select(EVENTS.task)
    .join(schema.tasks, TASKS.id == EVENTS.task)
    .where(EVENTS.labeler == _me, schema.IS_LIVE, EVENTS.n <= bindparam("until"))
    .where(EVENTS.kind == "submitted", TASKS.origin == "normal", ~exists(_repeats))
)


def next_task(
    connection: Connection, settings: RoundSettings, labeler: str, now: float
) -> Assignment | None:
    """The task that a person works on, or a new one; None if there is none for them."""
    person = people.locked(connection, labeler)
    refuse_if_closed(connection)
    if person["state"] not in ("active", "screening"):
        raise StoreRefusal("not_active")
    consent = consents.newest(connection, settings)
    if consent.markdown and person["consent"] != consent.version:
        raise StoreRefusal("consent_needed")
    leases.release_lapsed(connection, settings, now)
    # What a person holds (of several, after an undo, what they took last), or began and left.
    for mine in (_own, _begun):
        task = connection.execute(mine, {"labeler": labeler}).mappings().one_or_none()
        if task is not None:
            return hold(connection, settings, person, task, now)
    new = _new(connection, settings, person)
    return None if new is None else hold(connection, settings, person, new, now)


def refuse_if_closed(connection: Connection) -> None:
    """Raise `StoreRefusal` if the round is closed; if not, it stays open until the end of the
    transaction."""
    if connection.scalar(_closed):
        raise StoreRefusal("closed")


def renew(
    connection: Connection, settings: RoundSettings, labeler: str, task: str, now: float
) -> float:
    """Keep a task for a person whose page is alive; until when. A lapsed lease begins anew if the
    task still wants a judgment."""
    person = people.locked(connection, labeler)
    refuse_if_closed(connection)
    lease = leases.locked(connection, labeler, task)
    until = now + settings.lease_seconds
    if lease["state"] == "held":
        leases.change(connection, task, labeler, until=until)
        return until
    if lease["state"] != "lapsed":
        raise StoreRefusal("not_yours")
    row = tasks.locked(connection, task)
    if lease["counts"] and row["open"] <= 0:
        raise StoreRefusal("task_full")
    return hold(connection, settings, person, row, now).until


def save_draft(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    task: str,
    body: Mapping[str, Any],
    now: float,
) -> None:
    """Keep what a person writes, and the task while it is theirs. What arrives after the answer is
    of no use."""
    person = people.locked(connection, labeler)
    refuse_if_closed(connection)
    if person["state"] == "removed":
        raise StoreRefusal("not_active")
    lease = leases.locked(connection, labeler, task)
    if lease["state"] in ("held", "lapsed"):
        drafts.save(connection, labeler, task, body, now)
    if lease["state"] == "held":
        leases.change(connection, task, labeler, until=now + settings.lease_seconds)


def hold(
    connection: Connection,
    settings: RoundSettings,
    person: RowMapping,
    task: RowMapping,
    now: float,
) -> Assignment:
    """Give a task to a person, or let them keep it."""
    until = now + settings.lease_seconds
    before = leases.give(connection, person, task, until, now)
    return _shown(connection, settings, person["id"], task, before, until)


def assigned(
    connection: Connection, settings: RoundSettings, labeler: str, task: str
) -> Assignment:
    """A task that a person holds or held, as they saw it. Nothing is locked."""
    lease, row = leases.find(connection, labeler, task), tasks.find(connection, task)
    if lease is None or row is None:
        raise StoreRefusal("not_yours")
    return _shown(connection, settings, labeler, row, lease, lease["until"])


def _shown(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    row: RowMapping,
    lease: RowMapping | None,
    until: float,
) -> Assignment:
    task = tasks.of_row(row)
    return Assignment(
        task,
        shown_order(settings.name, task.id, labeler, task.responses),
        None if lease is None else drafts.of(connection, labeler, task.id),
        until,
        _answer(connection, lease),
    )


def _answer(connection: Connection, lease: RowMapping | None) -> Answer | None:
    """What a person answered before they took it back."""
    if lease is None or lease["event"] is None:
        return None
    return events.answer(connection, lease["event"])


def _new(connection: Connection, settings: RoundSettings, person: RowMapping) -> RowMapping | None:
    labeler = person["id"]
    if person["state"] == "screening":
        return _screening(connection, settings, labeler)
    normal = sharing.normal_task(connection, settings.kind, person)
    if normal is None:
        return None
    answers = person["submitted"] + person["skipped"]
    shares = (settings.gold_share, settings.retest_share)
    kind = choice.due(settings.name, labeler, answers, *shares)
    special = None
    if kind == "gold":
        special = _gold(connection, settings, labeler, answers)
    elif kind == "retest":
        special = _retest(connection, settings, labeler, answers)
    return special or normal


def _screening(connection: Connection, settings: RoundSettings, labeler: str) -> RowMapping | None:
    """The next task of a person's screening; None while somebody must decide."""
    tried = people.tries(connection, labeler).get(labeler, ())
    if people.waits(settings, "screening", tried):
        return None
    mine = {"labeler": labeler, "origin": "screening"}
    first = connection.scalars(_special, mine).first()
    return None if first is None else tasks.locked(connection, first)


def _gold(
    connection: Connection, settings: RoundSettings, labeler: str, answers: int
) -> RowMapping | None:
    """A gold task that the person has not seen."""
    unseen = connection.scalars(_special, {"labeler": labeler, "origin": "gold"}).all()
    if not unseen:
        return None
    return tasks.locked(connection, choice.pick(unseen, settings.name, labeler, answers, "gold"))


def _retest(
    connection: Connection, settings: RoundSettings, labeler: str, answers: int
) -> RowMapping | None:
    """One of the person's own earlier tasks once more, as a task of its own."""
    mine = {"labeler": labeler}
    if settings.kind == "demonstrate":
        return None  # a text is not written twice in the same words
    newest = connection.scalar(_live.offset(settings.retest_after).limit(1), mine)
    if newest is None:
        return None
    earlier = connection.scalars(_earlier, {**mine, "until": newest}).all()
    if not earlier:
        return None
    chosen = choice.pick(earlier, settings.name, labeler, answers, "retest")
    return _repeated(connection, tasks.locked(connection, chosen))


def _repeated(connection: Connection, row: RowMapping) -> RowMapping:
    """The retest of a task, made when it is needed first; its people share it."""
    first = tasks.of_row(row)
    name = task_id(first.kind, first.prompt, first.responses, "retest")
    made = tasks.find(connection, name)
    if made is None:  # the row of the first task is locked: nobody else makes it
        values = (name, first.kind, first.prompt, first.responses, first.arms)
        retest = Task(*values, origin="retest", repeats=first.id)
        tasks.add(connection, retest, (connection.scalar(select(func.max(TASKS.n))) or 0) + 1)
        made = tasks.locked(connection, name)
    return made
