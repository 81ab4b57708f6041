"""Answers that people give, correct and take back. Each is an event; one is valid a person and
task."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select, update

from preflab_people.judgments import Answer, answer_to_json
from preflab_people.store import assignment, drafts, events, people, schema, screening, tasks
from preflab_people.store.checking import check
from preflab_people.store.records import Assignment, Receipt, StoreRefusal
from preflab_people.store.settings import RoundSettings

EVENTS, LEASES = schema.events.c, schema.leases.c


@dataclass(frozen=True, slots=True)
class Submission:
    """What a page sends. key: chosen by the page once an answer, and sent again with each
    repetition of it. seconds: time of active work. order: index of the response that was shown at
    each place. instructions: version that was shown."""

    task: str
    answer: Answer
    key: str
    seconds: float = 0.0
    order: tuple[int, ...] = ()
    instructions: int = 1


def submit(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    sent: Submission,
    now: float,
) -> Receipt:
    """Take an answer, once for each key. Another key for the same task is a correction."""
    person = people.locked(connection, labeler)
    if (first := _known(connection, labeler, sent)) is not None:
        return Receipt(first, repeated=True)
    assignment.refuse_if_closed(connection)
    if person["state"] == "removed":
        raise StoreRefusal("not_active")
    lease = assignment.lease_of(connection, labeler, sent.task)
    task = tasks.locked(connection, sent.task)
    check(sent.answer, tasks.of_row(task), settings)
    live = _live(connection, labeler, sent.task)
    if screening.is_over(connection, settings.screening, labeler, task):
        raise StoreRefusal("screened")
    takes_place = not sent.answer.skipped
    has_no_place = takes_place and lease["state"] in ("lapsed", "skipped")
    if has_no_place and task["origin"] == "normal" and task["open"] <= 0:
        raise StoreRefusal("task_full")
    made = _append(connection, labeler, sent, live, now)
    _take(connection, settings, labeler, task, lease, live, takes_place)
    state = "done" if takes_place else "skipped"
    assignment.set_lease(connection, sent.task, labeler, state=state, event=made)
    drafts.drop(connection, labeler, sent.task)
    if task["origin"] == "screening":
        screening.finish_try(connection, settings, labeler, now)
    return Receipt(made)


def _known(connection: Connection, labeler: str, sent: Submission) -> int | None:
    """The event of a submission that is in the history already."""
    query = select(EVENTS.n, EVENTS.labeler, EVENTS.task).where(EVENTS.key == sent.key)
    row = connection.execute(query).one_or_none()
    if row is not None and (row.labeler, row.task) != (labeler, sent.task):
        raise StoreRefusal("key_reused")
    return None if row is None else int(row.n)


def _live(connection: Connection, labeler: str, task: str) -> RowMapping | None:
    """The valid answer of a person to a task."""
    query = select(schema.events).where(
        EVENTS.task == task, EVENTS.labeler == labeler, schema.IS_LIVE
    )
    return connection.execute(query).mappings().one_or_none()


def _append(
    connection: Connection, labeler: str, sent: Submission, live: RowMapping | None, now: float
) -> int:
    if live is not None:
        _retire(connection, live["n"])
    body = {"answer": answer_to_json(sent.answer), "order": list(sent.order)}
    made = events.append(
        connection,
        "skipped" if sent.answer.skipped else "submitted",
        now,
        body,
        live=True,
        task=sent.task,
        labeler=labeler,
        key=sent.key,
        seconds=sent.seconds,
        instructions=sent.instructions,
        supersedes=None if live is None else live["n"],
    )
    return made.n


def _retire(connection: Connection, n: int) -> None:
    """An answer is no longer the valid one; its event stays."""
    connection.execute(update(schema.events).where(EVENTS.n == n).values(live=0))


def _take(
    connection: Connection,
    settings: RoundSettings,
    labeler: str,
    task: RowMapping,
    lease: RowMapping,
    live: RowMapping | None,
    takes_place: bool,
) -> None:
    """Bring the counters of task and person from the live answer before to the new one."""
    was_answer = live is not None and live["kind"] == "submitted"
    was_skip = live is not None and live["kind"] == "skipped"
    had_place = lease["state"] in ("held", "done")
    done = int(takes_place) - int(was_answer)
    skips = int(not takes_place) - int(was_skip)
    open_change = int(had_place) - int(takes_place)
    tasks.count(connection, task["id"], open=open_change, done=done, skips=skips)
    set_aside(connection, settings, task["id"])
    people.count(connection, labeler, submitted=done, skipped=skips)
    if task["origin"] == "normal" and done:
        share(connection, labeler, task["id"], done)


def set_aside(connection: Connection, settings: RoundSettings, task: str) -> None:
    """Give a task to nobody else once too many people skipped it, or to others again."""
    columns = schema.tasks.c
    for aside, is_so in (
        (1, columns.skips >= settings.skip_limit),
        (0, columns.skips < settings.skip_limit),
    ):
        changed = update(schema.tasks).where(columns.id == task, is_so, columns.aside != aside)
        connection.execute(changed.values(aside=aside))


def share(connection: Connection, labeler: str, task: str, change: int) -> None:
    """Count that a person shares a task with the others who judged it, or no longer does."""
    query = select(EVENTS.labeler).where(
        EVENTS.task == task,
        EVENTS.labeler != labeler,
        schema.IS_LIVE,
        EVENTS.kind == "submitted",
    )
    columns = schema.partners.c
    for other in sorted(connection.scalars(query).all()):
        for me, them in sorted(((labeler, other), (other, labeler))):
            pair = (columns.labeler == me) & (columns.other == them)
            counted = update(schema.partners).where(pair).values(tasks=columns.tasks + change)
            if not connection.execute(counted).rowcount:
                values = {"labeler": me, "other": them, "tasks": change}
                connection.execute(schema.partners.insert().values(**values))


def undo(connection: Connection, settings: RoundSettings, labeler: str, now: float) -> Assignment:
    """Take a person's last valid answer back and give them the task again."""
    person = people.locked(connection, labeler)
    assignment.refuse_if_closed(connection)
    if person["state"] not in ("active", "screening"):
        raise StoreRefusal("not_active")
    query = select(schema.events).where(EVENTS.labeler == labeler, schema.IS_LIVE)
    newest = query.order_by(EVENTS.n.desc()).limit(1)
    live = connection.execute(newest).mappings().one_or_none()
    if live is None:
        raise StoreRefusal("nothing_to_undo")
    name = live["task"]
    assignment.lease_of(connection, labeler, name)
    task = tasks.locked(connection, name)
    if screening.is_over(connection, settings.screening, labeler, task):
        raise StoreRefusal("screened")
    if task["origin"] == "normal" and live["kind"] == "skipped" and task["open"] <= 0:
        raise StoreRefusal("task_full")
    take_back(connection, settings, live)
    facts = {"task": name, "labeler": labeler, "supersedes": live["n"]}
    events.append(connection, "undone", now, **facts)
    return assignment.hold(connection, settings, labeler, task, now)


def take_back(connection: Connection, settings: RoundSettings, live: RowMapping) -> None:
    """Make a valid answer invalid and correct what was counted, but for the place that it held:
    that goes to the lease (undo) or becomes open again (forget)."""
    labeler, task = live["labeler"], live["task"]
    done, skips = -int(live["kind"] == "submitted"), -int(live["kind"] == "skipped")
    _retire(connection, live["n"])
    tasks.count(connection, task, done=done, skips=skips)
    set_aside(connection, settings, task)
    people.count(connection, labeler, submitted=done, skipped=skips)
    origin = connection.scalar(select(schema.tasks.c.origin).where(schema.tasks.c.id == task))
    if done and origin == "normal":
        share(connection, labeler, task, -1)
