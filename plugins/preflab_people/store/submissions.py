"""Answers that people give, correct and take back. Each is an event; one is valid a person and
task."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from preflab_people.judgments import GONE, Answer, answer_to_json
from preflab_people.store import (
    assignment,
    drafts,
    events,
    leases,
    people,
    schema,
    screening,
    tasks,
)
from preflab_people.store.checking import check
from preflab_people.store.records import Assignment, Receipt, StoreRefusal
from preflab_people.store.settings import RoundSettings

EVENTS, PARTNERS, PEOPLE = schema.events.c, schema.partners.c, schema.people.c
LEASES = schema.leases.c
_known = select(EVENTS.n, EVENTS.labeler, EVENTS.task).where(EVENTS.key == bindparam("sent_key"))
_live = select(schema.events).where(EVENTS.labeler == bindparam("labeler"), schema.IS_LIVE)
_live_one = _live.where(EVENTS.task == bindparam("task"))
_newest = _live.order_by(EVENTS.n.desc()).limit(1)
_counted = (
    _live.join(schema.leases, (LEASES.task == EVENTS.task) & (LEASES.labeler == EVENTS.labeler))
    .where(LEASES.counts == 1)
    .order_by(EVENTS.task)
)
_retired = update(schema.events).where(EVENTS.n == bindparam("number")).values(live=0)
_others = (
    select(LEASES.labeler)
    .join(schema.people, PEOPLE.id == LEASES.labeler)
    .where(LEASES.task == bindparam("task"), LEASES.state == "done", LEASES.counts == 1)
    .where(LEASES.labeler != bindparam("me"), PEOPLE.state.not_in(GONE))
)
_shared = (
    update(schema.partners)
    .where(PARTNERS.labeler == bindparam("me"), PARTNERS.other == bindparam("them"))
    .values(tasks=PARTNERS.tasks + bindparam("more"))
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a page sends. key: chosen by the page once an answer, and sent again with each
    repetition of it. seconds: time of active work. order: index of the response that was shown at
    each place. instructions: version that was shown. at: when it was given, UTC, ISO 8601, if that
    was elsewhere and not now."""

    task: str
    answer: Answer
    key: str
    seconds: float = 0.0
    order: tuple[int, ...] = ()
    instructions: int = 1
    at: str = ""


def submit(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    sent: Submission,
    now: float,
) -> Receipt:
    """Take an answer, once for each key. Another key for the same task is a correction."""
    person = people.locked(connection, labeler)
    if (first := _first_with_key(connection, labeler, sent)) is not None:
        return Receipt(first, repeated=True)
    assignment.refuse_if_closed(connection)
    if person["state"] == "removed":
        raise StoreRefusal("not_active")
    lease = leases.locked(connection, labeler, sent.task)
    task = tasks.locked(connection, sent.task)
    check(sent.answer, tasks.of_row(task), settings)
    if screening.is_over(connection, settings.screening, labeler, task):
        raise StoreRefusal("screened")
    had_place, has_place = lease["state"] in ("held", "done"), not sent.answer.skipped
    if has_place and not had_place and lease["counts"] and task["open"] <= 0:
        raise StoreRefusal("task_full")
    made = record(connection, settings, labeler, lease, task, sent, now)
    if task["origin"] == "screening":
        screening.finish_try(connection, settings, labeler, now)
    return Receipt(made)


def live_answer(connection: Connection, labeler: str, task: str) -> RowMapping | None:
    """The event of a person's valid answer to a task."""
    mine = {"labeler": labeler, "task": task}
    return connection.execute(_live_one, mine).mappings().one_or_none()


def record(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    lease: RowMapping,
    task: RowMapping,
    sent: Submission,
    now: float,
) -> int:
    """Put an answer that was checked into the history, in the place of the one before; its event.
    lease, task: their rows, locked."""
    had_place, has_place = lease["state"] in ("held", "done"), not sent.answer.skipped
    live = live_answer(connection, labeler, sent.task) if lease["event"] else None
    if live is not None:
        withdraw(connection, settings, lease, task, live)
    made = _append(connection, labeler, sent, live, now)
    done, skips, open_change = int(has_place), int(not has_place), int(had_place) - int(has_place)
    limit = settings.skip_limit
    task = tasks.locked(connection, sent.task) if live is not None else task
    if lease["counts"]:
        tasks.count(connection, task, open_change, done, skips, skip_limit=limit)
    people.count(connection, labeler, submitted=done, skipped=skips, now=now)
    if done and lease["counts"]:
        share(connection, labeler, task, 1)
    state = "done" if has_place else "skipped"
    leases.change(connection, sent.task, labeler, state=state, event=made)
    drafts.drop(connection, labeler, sent.task)
    return made


def _first_with_key(connection: Connection, labeler: str, sent: Submission) -> int | None:
    """The event of a submission that is in the history already."""
    row = connection.execute(_known, {"sent_key": sent.key}).one_or_none()
    if row is not None and (row.labeler, row.task) != (labeler, sent.task):
        raise StoreRefusal("key_reused")
    return None if row is None else int(row.n)


def _append(
    connection: Connection, labeler: str, sent: Submission, live: RowMapping | None, now: float
) -> int:
    body = {"answer": answer_to_json(sent.answer), "order": list(sent.order)}
    made = events.append(
        connection,
        "skipped" if sent.answer.skipped else "submitted",
        now,
        {**body, "at": sent.at} if sent.at else body,
        live=True,
        task=sent.task,
        labeler=labeler,
        key=sent.key,
        seconds=sent.seconds,
        instructions=sent.instructions,
        supersedes=None if live is None else live["n"],
    )
    return made.n


def undo(connection: Connection, settings: RoundSettings, labeler: str, now: float) -> Assignment:
    """Take a person's last valid answer back and give them the task again."""
    person = people.locked(connection, labeler)
    assignment.refuse_if_closed(connection)
    if person["state"] not in ("active", "screening"):
        raise StoreRefusal("not_active")
    live = connection.execute(_newest, {"labeler": labeler}).mappings().one_or_none()
    if live is None:
        raise StoreRefusal("nothing_to_undo")
    name = live["task"]
    lease, task = leases.locked(connection, labeler, name), tasks.locked(connection, name)
    if screening.is_over(connection, settings.screening, labeler, task):
        raise StoreRefusal("screened")
    if live["kind"] == "skipped" and lease["counts"] and task["open"] <= 0:
        raise StoreRefusal("task_full")
    withdraw(connection, settings, lease, task, live)
    events.append(connection, "undone", now, task=name, labeler=labeler, supersedes=live["n"])
    return assignment.hold(connection, settings, person, tasks.locked(connection, name), now)


def withdraw(
    connection: Connection,
    settings: RoundSettings,
    lease: RowMapping,
    task: RowMapping,
    live: RowMapping,
) -> None:
    """An answer is no longer valid; its event stays, and the place that it held is its lease's."""
    connection.execute(_retired, {"number": live["n"]})
    done, skips = -int(live["kind"] == "submitted"), -int(live["kind"] == "skipped")
    if lease["counts"]:
        tasks.count(connection, task, done=done, skips=skips, skip_limit=settings.skip_limit)
    people.count(connection, live["labeler"], submitted=done, skipped=skips)
    if done and lease["counts"]:
        share(connection, live["labeler"], task, -1)


def share(connection: Connection, labeler: str, task: RowMapping, change: int) -> None:
    """Count that a person shares a task with the others who judged it, or no longer does."""
    if task["want"] == 1:
        return
    others = connection.scalars(_others, {"task": task["id"], "me": labeler}).all()
    for me, them in sorted(pair for o in others for pair in ((labeler, o), (o, labeler))):
        whom = {"me": me, "them": them, "more": change}
        if not connection.execute(_shared, whom).rowcount:
            values = {"labeler": me, "other": them, "tasks": change}
            connection.execute(insert(schema.partners), values)


def count_again(
    connection: Connection, settings: RoundSettings, labeler: str, counts: bool
) -> None:
    """The valid answers of a person count towards what tasks want, or no longer do: those of a
    person who was removed are not wanted, and others are asked."""
    sign = 1 if counts else -1
    rows = connection.execute(_counted, {"labeler": labeler}).mappings().all()
    for live in rows:
        task = tasks.locked(connection, live["task"])
        done, skips = int(live["kind"] == "submitted"), int(live["kind"] == "skipped")
        limit = settings.skip_limit
        tasks.count(connection, task, -sign * done, sign * done, sign * skips, skip_limit=limit)
        if done:
            share(connection, labeler, task, sign)
