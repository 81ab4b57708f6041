"""Whether a store is whole: the file, the chain of its history, and all that follows from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from sqlalchemy import Connection, select, text

from preflab_people.judgments import takes_place
from preflab_people.store import events, schema
from preflab_people.store.records import Event
from preflab_people.store.settings import RoundSettings

SHOWN = 20
"""Problems that are named; there may be thousands of a kind."""
Pair = tuple[str, str]


def problems(connection: Connection, settings: RoundSettings) -> tuple[str, ...]:
    """What is wrong, in words; nothing if the store is whole."""
    found: list[str] = []
    for problem in _all(connection, settings):
        found.append(problem)
        if len(found) == SHOWN:
            break
    return tuple(found)


def _all(connection: Connection, settings: RoundSettings) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for line in connection.scalars(text("PRAGMA integrity_check")):
            if line != "ok":
                yield f"the file: {line}"
    history = tuple(events.history(connection))
    yield from chain_problems(history)
    yield from _end(connection, history)
    yield from _bodies(connection, history)
    yield from _derived(connection, settings, history)


def chain_problems(history: Iterable[Event]) -> Iterator[str]:
    """Where a history does not hold together: a line changed, taken out, put in or moved."""
    chain = events.START
    for number, event in enumerate(history, 1):
        if event.n != number:
            yield f"event {number} is missing: event {event.n} follows"
            return
        if events.next_link(chain, event) != event.chain:
            yield f"event {number} was changed: its chain does not match"
            return
        chain = event.chain


def _end(connection: Connection, history: tuple[Event, ...]) -> Iterator[str]:
    end = connection.execute(select(schema.head)).mappings().one()
    last = (history[-1].n, history[-1].chain) if history else (0, events.START)
    if (end["n"], end["chain"]) != last:
        yield f"the history ends with event {last[0]}, and event {end['n']} was the last one"


def _bodies(connection: Connection, history: tuple[Event, ...]) -> Iterator[str]:
    forgotten = {event.labeler for event in history if event.kind == "forgotten"}
    rows = connection.execute(select(schema.bodies)).mappings()
    said = {row["event"]: events.body_digest(row["salt"], row["text"]) for row in rows}
    for event in history:
        digest = said.pop(event.n, None)
        if digest is None and event.labeler not in forgotten:
            yield f"event {event.n}: what it says is missing"
        elif digest is not None and digest != event.body:
            yield f"event {event.n}: what it says was changed"
        elif digest is not None and event.labeler in forgotten and event.kind != "forgotten":
            yield f"event {event.n}: {event.labeler} was forgotten, and what they said is there"
    for number in said:
        yield f"there are words for event {number}, which does not exist"


def valid_answers(history: Iterable[Event]) -> dict[Pair, Event]:
    """By task and labeler: the valid answer, as it follows from a history."""
    valid: dict[Pair, Event] = {}
    for event in history:
        if event.kind in ("submitted", "skipped"):
            valid[event.task or "", event.labeler or ""] = event
        elif event.kind == "undone":
            valid.pop((event.task or "", event.labeler or ""), None)
        elif event.kind == "forgotten":
            valid = {pair: one for pair, one in valid.items() if pair[1] != event.labeler}
    return valid


def _derived(
    connection: Connection, settings: RoundSettings, history: tuple[Event, ...]
) -> Iterator[str]:
    """What is kept beside the history for speed, against what follows from the history."""
    valid = valid_answers(history)
    columns = schema.events.c
    live = set(connection.scalars(select(columns.n).where(schema.IS_LIVE)))
    for number in sorted(live ^ {event.n for event in valid.values()}):
        yield f"event {number} is {'' if number in live else 'not '}marked as a valid answer"
    rows = connection.execute(select(schema.people.c.id, schema.people.c.state))
    states = {row[0]: row[1] for row in rows}
    yield from _wanted(connection)
    yield from _tasks(connection, settings, history)
    yield from _people(connection, valid)
    yield from _leases(connection, valid, states)


def _wanted(connection: Connection) -> Iterator[str]:
    """Which leases are of judgments that their tasks want, by the rule."""
    leases, tasks, people = schema.leases, schema.tasks.c, schema.people.c
    query = (
        select(leases.c.task, leases.c.labeler, leases.c.counts)
        .add_columns(tasks.origin, tasks.kind, people.held_out)
        .join(schema.tasks, tasks.id == leases.c.task)
        .join(schema.people, people.id == leases.c.labeler)
    )
    for task, labeler, counts, origin, kind, held_out in connection.execute(query):
        if counts != int(takes_place(origin, kind, bool(held_out))):
            yield f"task {task}: the lease of {labeler} is {'not ' * (1 - counts)}counted"


COUNTED = ("open", "done", "skips", "aside")
"""Numbers of a task that follow from the history."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What follows from the history. tasks: by task its numbers. shared: how many tasks two people
    have both judged."""

    tasks: dict[str, dict[str, int]]
    shared: Counter[Pair]


def expected(connection: Connection, settings: RoundSettings, history: Iterable[Event]) -> Expected:
    """What follows from a history, and from the leases that count."""
    rows = connection.execute(select(schema.people.c.id, schema.people.c.state))
    states = {row[0]: row[1] for row in rows}
    columns = schema.leases.c
    query = select(columns.task, columns.labeler).where(columns.counts == 1)
    wanted = {(row[0], row[1]) for row in connection.execute(query)}
    valid = valid_answers(history).items()
    counted = {p: e for p, e in valid if states.get(p[1]) != "removed" and p in wanted}
    is_held = (columns.state == "held", columns.counts == 1)
    held = Counter(connection.scalars(select(columns.task).where(*is_held)))
    done, skips = Counter[str](), Counter[str]()
    who = defaultdict[str, list[str]](list)
    for (task, labeler), event in counted.items():
        if event.kind == "submitted":
            done[task] += 1
            who[task].append(labeler)
        else:
            skips[task] += 1
    found = Expected({}, Counter())
    for row in connection.execute(select(schema.tasks)).mappings():
        name = row["id"]
        numbers = found.tasks[name] = dict.fromkeys(COUNTED, 0)
        if row["origin"] == "normal":
            numbers["open"] = row["want"] - done[name] - held[name]
            numbers["done"], numbers["skips"] = done[name], skips[name]
            numbers["aside"] = int(skips[name] >= settings.skip_limit)
            found.shared.update(permutations(who[name], 2) if row["want"] > 1 else ())
    return found


def _tasks(
    connection: Connection, settings: RoundSettings, history: tuple[Event, ...]
) -> Iterator[str]:
    follows = expected(connection, settings, history)
    shared = follows.shared
    for row in connection.execute(select(schema.tasks)).mappings():
        name = row["id"]
        for what, number in follows.tasks[name].items():
            if row[what] != number:
                yield f"task {name}: {what} is {row[what]}, and {number} follows from the history"
    rows = connection.execute(select(schema.partners)).mappings()
    kept = {(row["labeler"], row["other"]): row["tasks"] for row in rows if row["tasks"]}
    for pair in sorted(kept.keys() | shared.keys()):
        if kept.get(pair, 0) != shared[pair]:
            yield f"{pair[0]} and {pair[1]} share {shared[pair]} tasks, not {kept.get(pair, 0)}"


def _people(connection: Connection, valid: dict[Pair, Event]) -> Iterator[str]:
    numbers = Counter((labeler, event.kind) for (_, labeler), event in valid.items())
    for row in connection.execute(select(schema.people)).mappings():
        for what in ("submitted", "skipped"):
            if row[what] != numbers[row["id"], what]:
                yield f"{row['id']} {what} {numbers[row['id'], what]} tasks, not {row[what]}"


def _leases(
    connection: Connection, valid: dict[Pair, Event], states: dict[str, str]
) -> Iterator[str]:
    rows = connection.execute(select(schema.leases)).mappings()
    kept = {(row["task"], row["labeler"]): row["state"] for row in rows}
    for pair, event in valid.items():
        wanted = "done" if event.kind == "submitted" else "skipped"
        if kept.pop(pair, None) != wanted:
            yield f"task {pair[0]}: the lease of {pair[1]} is not {wanted}"
    for pair, state in kept.items():
        if state in ("done", "skipped") and states.get(pair[1]) != "forgotten":
            yield f"task {pair[0]}: {pair[1]} gave no valid answer, and the lease is {state}"
