"""Who gets which task: leases that count as judgments to come, and lapse.

Locks on PostgreSQL are always taken in the order person, lease, task, end of the history. SQLite
has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, insert, or_, select, update

from preflab_people.judgments import Answer, Task, answer_from_json, shown_order, task_id
from preflab_people.store import choice, drafts, events, people, schema, sharing, tasks
from preflab_people.store.records import Assignment, StoreRefusal
from preflab_people.store.settings import RoundSettings

TASKS, LEASES, EVENTS = schema.tasks.c, schema.leases.c, schema.events.c


def next_task(
    connection: Connection, settings: RoundSettings, labeler: str, now: float
) -> Assignment | None:
    """The task that a person works on, or a new one; None if there is none for them."""
    person = people.locked(connection, labeler)
    refuse_if_closed(connection)
    if person["state"] not in ("active", "screening"):
        raise StoreRefusal("not_active")
    if settings.consent and person["consent"] != settings.consent_version:
        raise StoreRefusal("consent_needed")
    release_lapsed(connection, settings, now)
    task = (
        _own(connection, labeler)
        or _begun(connection, labeler)
        or _new(connection, settings, person, now)
    )
    return None if task is None else hold(connection, settings, labeler, task, now)


def refuse_if_closed(connection: Connection) -> None:
    """Raise `StoreRefusal` if the round is closed; if not, it stays open until the end of the
    transaction."""
    query = select(schema.meta.c.value).where(schema.meta.c.key == schema.CLOSED)
    if connection.scalar(query.with_for_update(read=True)):
        raise StoreRefusal("closed")


def release_lapsed(connection: Connection, settings: RoundSettings, now: float) -> None:
    """Give back the tasks of silent pages. A lease that ends later than any lease could was
    given before the clock was set back: it begins anew."""
    latest = now + settings.lease_seconds
    of_a_clock_ahead = update(schema.leases).where(LEASES.state == "held", LEASES.until > latest)
    connection.execute(of_a_clock_ahead.values(until=latest))
    lapsed = select(LEASES.task, LEASES.labeler).where(schema.IS_HELD, LEASES.until <= now)
    rows = connection.execute(lapsed.with_for_update(skip_locked=True)).all()
    for task, labeler in sorted((row[0], row[1]) for row in rows):
        set_lease(connection, task, labeler, state="lapsed")
        tasks.count(connection, task, open=1)


def renew(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    task: str,
    now: float,
    draft: bool = False,
) -> float:
    """Keep a task for a person whose page is alive; until when. A lapsed lease begins anew if the
    task still wants a judgment. draft: what is written is kept even if it does not, and a draft
    that arrives after its answer is of no use: 0."""
    people.locked(connection, labeler)
    refuse_if_closed(connection)
    lease = lease_of(connection, labeler, task)
    until = now + settings.lease_seconds
    if lease["state"] == "held":
        set_lease(connection, task, labeler, until=until)
        return until
    if lease["state"] != "lapsed":
        if draft:
            return 0.0
        raise StoreRefusal("not_yours")
    row = tasks.locked(connection, task)
    if row["origin"] == "normal" and row["open"] <= 0:
        if draft:
            return lease["until"] or now
        raise StoreRefusal("task_full")
    return hold(connection, settings, labeler, row, now).until


def set_lease(connection: Connection, task: str, labeler: str, **values: Any) -> None:
    """Change a lease."""
    mine = (LEASES.task == task) & (LEASES.labeler == labeler)
    connection.execute(update(schema.leases).where(mine).values(**values))


def lease_of(connection: Connection, labeler: str, task: str) -> RowMapping:
    """A person's lease of a task, kept from others; `StoreRefusal` if they never had it."""
    query = select(schema.leases).where(LEASES.task == task, LEASES.labeler == labeler)
    row = connection.execute(query.with_for_update()).mappings().one_or_none()
    if row is None:
        raise StoreRefusal("not_yours")
    return row


def hold(
    connection: Connection, settings: RoundSettings, labeler: str, task: RowMapping, now: float
) -> Assignment:
    """Give a task to a person, or let them keep it."""
    until = now + settings.lease_seconds
    query = select(schema.leases).where(LEASES.task == task["id"], LEASES.labeler == labeler)
    lease = connection.execute(query).mappings().one_or_none()
    if lease is None:
        values = {
            "task": task["id"],
            "labeler": labeler,
            "state": "held",
            "until": until,
            "at": now,
        }
        connection.execute(insert(schema.leases).values(**values))
    else:
        changes = {"until": until} if lease["state"] == "held" else {"state": "held", "at": now}
        set_lease(connection, task["id"], labeler, **{**changes, "until": until})
    if lease is None or lease["state"] not in ("held", "done"):
        tasks.count(connection, task["id"], open=-1)
    return _shown(connection, settings, labeler, task, lease, until)


def assigned(
    connection: Connection, settings: RoundSettings, labeler: str, task: str
) -> Assignment:
    """A task that a person holds or held, as they saw it. Nothing is locked."""
    query = select(schema.leases).where(LEASES.task == task, LEASES.labeler == labeler)
    lease = connection.execute(query).mappings().one_or_none()
    if lease is None:
        raise StoreRefusal("not_yours")
    row = connection.execute(select(schema.tasks).where(TASKS.id == task)).mappings().one()
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
        drafts.of(connection, labeler, task.id),
        until,
        _answer(connection, lease),
    )


def _answer(connection: Connection, lease: RowMapping | None) -> Answer | None:
    """What a person answered before they took it back."""
    if lease is None or lease["event"] is None:
        return None
    said: Mapping[str, Any] | None = events.body(connection, lease["event"])
    return None if said is None else answer_from_json(said["answer"])


def _own(connection: Connection, labeler: str) -> RowMapping | None:
    """The task that a person holds; of several, after an undo, the one they took last."""
    query = (
        select(schema.tasks)
        .join(schema.leases, LEASES.task == TASKS.id)
        .where(LEASES.labeler == labeler, LEASES.state == "held")
        .order_by(LEASES.at.desc(), TASKS.n)
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def _begun(connection: Connection, labeler: str) -> RowMapping | None:
    """A task that a person had, wrote a draft for, and that still wants a judgment."""
    query = (
        select(schema.tasks)
        .join(schema.leases, LEASES.task == TASKS.id)
        .join(schema.drafts, schema.drafts.c.task == TASKS.id)
        .where(LEASES.labeler == labeler, schema.drafts.c.labeler == labeler)
        .where(LEASES.state == "lapsed", or_(TASKS.open > 0, TASKS.origin != "normal"))
        .order_by(schema.drafts.c.at.desc())
        .limit(1)
        .with_for_update(of=schema.tasks, skip_locked=True)
    )
    return connection.execute(query).mappings().one_or_none()


def _new(
    connection: Connection, settings: RoundSettings, person: RowMapping, now: float
) -> RowMapping | None:
    labeler = person["id"]
    if person["state"] == "screening":
        return _screening(connection, settings, labeler)
    normal = sharing.normal_task(connection, labeler)
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
    query = select(schema.tasks).where(TASKS.origin == "screening", tasks.is_free(labeler))
    return connection.execute(query.order_by(TASKS.n).limit(1)).mappings().one_or_none()


def _gold(
    connection: Connection, settings: RoundSettings, labeler: str, answers: int
) -> RowMapping | None:
    """A gold task that the person has not seen."""
    query = select(TASKS.id).where(TASKS.origin == "gold", tasks.is_free(labeler))
    unseen = connection.scalars(query).all()
    if not unseen:
        return None
    return tasks.locked(connection, choice.pick(unseen, settings.name, labeler, answers, "gold"))


def _retest(
    connection: Connection, settings: RoundSettings, labeler: str, answers: int
) -> RowMapping | None:
    """One of the person's own earlier tasks once more, as a task of its own."""
    again = schema.tasks.alias()
    seen = select(LEASES.task).join(again, again.c.id == LEASES.task)
    seen = seen.where(LEASES.labeler == labeler, again.c.repeats == EVENTS.task)
    query = (
        select(EVENTS.task)
        .join(schema.tasks, TASKS.id == EVENTS.task)
        .where(EVENTS.labeler == labeler, schema.IS_LIVE, EVENTS.kind == "submitted")
        .where(TASKS.origin == "normal", ~exists(seen.where(LEASES.state != "lapsed")))
    )
    since = select(EVENTS.n).where(EVENTS.labeler == labeler, schema.IS_LIVE)
    since = since.order_by(EVENTS.n.desc()).offset(settings.retest_after).limit(1)
    newest = connection.scalar(since)
    if newest is None:
        return None
    earlier = connection.scalars(query.where(EVENTS.n <= newest)).all()
    if not earlier:
        return None
    chosen = choice.pick(earlier, settings.name, labeler, answers, "retest")
    return _repeated(connection, tasks.locked(connection, chosen))


def _repeated(connection: Connection, row: RowMapping) -> RowMapping:
    """The retest of a task, made when it is needed first; its people share it."""
    first = tasks.of_row(row)
    name = task_id(first.kind, first.prompt, first.responses, "retest")
    query = select(schema.tasks).where(TASKS.id == name)
    made = connection.execute(query).mappings().one_or_none()
    if made is None:  # the row of the first task is locked: nobody else makes it
        values = (name, first.kind, first.prompt, first.responses, first.arms)
        retest = Task(*values, origin="retest", repeats=first.id)
        tasks.add(connection, retest, (connection.scalar(select(func.max(TASKS.n))) or 0) + 1)
        made = connection.execute(query).mappings().one()
    return made
