"""The history of a round: events are only ever added, each chained to the one before.

The chain is a sha256 over the lines of events and the digests of their bodies. The bodies lie in a
table of their own: when a person is forgotten their bodies go, and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from preflab_people.judgments import Answer, answer_from_json
from preflab_people.store import schema
from preflab_people.store.records import Event

LINE = 1
"""Number of the form of a line in the chain, which never changes for a line that is there."""
START = "0" * 64
"""The chain before the first event."""
CLOCK_SLACK = 60.0
"""Seconds by which a clock may go back without a word: clocks are corrected all the time."""
FACTS = (
    *("n", "kind", "at", "body", "chain", "task", "labeler"),
    *("key", "seconds", "instructions", "supersedes"),
)
log = logging.getLogger(__name__)
_head = select(schema.head).with_for_update()
_event, _body = insert(schema.events), insert(schema.bodies)
_moved = update(schema.head).values(
    n=bindparam("to_n"), chain=bindparam("to_chain"), at=bindparam("to_at")
)


def body_digest(salt: str, body: str) -> str:
    """sha256 (hex) of what an event says, salted so that nobody can guess it from the digest."""
    return hashlib.sha256(f"{salt}\n{body}".encode()).hexdigest()


def next_link(before: str, event: Event) -> str:
    """The chain after an event: sha256 (hex) over the chain before it and its line."""
    facts = asdict(event)
    del facts["chain"]
    text = json.dumps([LINE, before, facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def append(
    connection: Connection,
    kind: str,
    now: float,
    body: Mapping[str, Any] | None = None,
    live: bool = False,
    **facts: Any,
) -> Event:
    """Add an event to the history. facts: task, labeler, key, seconds, instructions,
    supersedes. live: it is the valid answer of its labeler to its task."""
    end = connection.execute(_head).mappings().one()
    if end["at"] - now > CLOCK_SLACK and kind != "clock":
        log.warning(
            "The clock was set back by %.0f seconds. Nothing is lost: the history is in the order "
            "in which answers came, and leases begin anew.",
            end["at"] - now,
        )
        append(connection, "clock", now, {"back": end["at"] - now})
        end = connection.execute(_head).mappings().one()
    if facts.get("seconds") is not None:
        # As the column gives it back: the chain of 7 is not that of 7.0.
        facts["seconds"] = float(facts["seconds"])
    text, salt = json.dumps(body or {}, sort_keys=True), secrets.token_hex(16)
    made = Event(end["n"] + 1, kind, now, body_digest(salt, text), "", **facts)
    made = replace(made, chain=next_link(end["chain"], made))
    connection.execute(_event, {**asdict(made), "live": int(live)})
    connection.execute(_body, {"event": made.n, "salt": salt, "text": text})
    connection.execute(_moved, {"to_n": made.n, "to_chain": made.chain, "to_at": now})
    return made


def body(connection: Connection, n: int) -> Any:
    """What an event says; None if it was forgotten."""
    text = connection.scalar(select(schema.bodies.c.text).where(schema.bodies.c.event == n))
    return None if text is None else json.loads(text)


def answer(connection: Connection, n: int) -> Answer | None:
    """What a person answered in an event; None if it was forgotten."""
    said = body(connection, n)
    return None if said is None else answer_from_json(said["answer"])


def of_row(row: RowMapping) -> Event:
    """The event that a row of the table holds."""
    return Event(**{name: row[name] for name in FACTS})


def history(connection: Connection) -> Iterator[Event]:
    """All events in their order."""
    rows = connection.execute(select(schema.events).order_by(schema.events.c.n))
    return (of_row(row) for row in rows.mappings())


def in_words(at: float) -> str:
    """A time in UTC as ISO 8601.

    >>> in_words(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")
