"""The tables of a store, on SQLite and on PostgreSQL.

``events`` and ``bodies`` are the truth. All other state (counters, leases, who shares tasks with
whom, the column ``live``) follows from them and is kept for speed; `verify` compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)

SCHEMA = 2
"""Number of this form of the tables. It changes whenever they do: `preflab_people.store.migrating`
brings earlier ones here, and a store with a higher one is refused."""

metadata = MetaData()


def _has(name: str, kind: type[Any], **more: Any) -> Column[Any]:
    """A column that is never empty."""
    return Column(name, kind, nullable=False, **more)


def _pair(*names: str) -> Iterator[Column[Any]]:
    """Columns that are the key of a table together."""
    return (Column(name, String, primary_key=True) for name in names)


def _some(name: str, where: TextClause, *columns: Column[Any], unique: bool = False) -> None:
    """An index of the rows that fulfil a condition."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    _has("value", Text),
)
CLOSED = "closed"
"""Key in ``meta``: when the round was closed, "" before."""
PLACES = "places"
"""Key in ``meta``: judgments wanted of the tasks that several people judge."""
head = Table(  # one row: the end of the chain; whoever appends locks it
    "head",
    metadata,
    Column("id", Integer, primary_key=True),
    _has("n", Integer),
    _has("chain", String),
    _has("at", Double),
)
tasks = Table(
    "tasks",
    metadata,
    Column("id", String, primary_key=True),
    _has("n", Integer),  # place in the pool
    _has("kind", String),
    _has("origin", String),
    _has("repeats", String),
    _has("payload", Text),
    _has("want", Integer),
    # Judgments that nobody has given or holds a lease for; 0 unless the task is normal.
    _has("open", Integer),
    _has("done", Integer, default=0),
    _has("skips", Integer, default=0),
    _has("aside", Integer, default=0),  # 1: too many people skipped it
)
# The words of these conditions are in the queries letter by letter: a bound number would hide from
# SQLite that the index fits.
IS_SINGLE = text("open > 0 AND aside = 0 AND want = 1")
IS_FRESH = text("open > 0 AND aside = 0 AND want > 1 AND open = want")
IS_STARTED = text("open > 0 AND aside = 0 AND want > 1 AND open < want")
Index("tasks_origin", tasks.c.origin, tasks.c.n)
for name, condition in (("single", IS_SINGLE), ("fresh", IS_FRESH), ("started", IS_STARTED)):
    _some(f"tasks_{name}", condition, tasks.c.n)

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    _has("n", Integer),
    _has("group", String),
    _has("held_out", Integer),
    _has("state", String),
    Column("token", String, unique=True),  # sha256 of the token; null: no way in
    _has("consent", Integer, default=0),
    _has("submitted", Integer, default=0),
    _has("skipped", Integer, default=0),
    _has("since", Double),
    Column("last", Double),  # their last answer
)
leases = Table(
    "leases",
    metadata,
    *_pair("task", "labeler"),
    _has("state", String),  # held, lapsed, done, skipped
    _has("until", Double),
    _has("at", Double),
    Column("event", Integer),  # the person's last answer to it, valid or taken back
    _has("several", Integer),  # 1: a normal task that several people judge
    _has("counts", Integer),  # 1: it is one of the judgments that the task wants
)
OF_SEVERAL = text("several = 1")
_some("leases_several", OF_SEVERAL, leases.c.labeler, leases.c.state)
IS_HELD = text("state = 'held'")
_some("leases_until", IS_HELD, leases.c.until)
Index("leases_labeler", leases.c.labeler, leases.c.state)

events = Table(
    "events",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    _has("kind", String),
    _has("at", Double),
    Column("task", String),
    Column("labeler", String),
    Column("key", String),
    Column("seconds", Double),
    Column("instructions", Integer),
    Column("supersedes", Integer),
    _has("body", String),
    _has("chain", String),
    _has("live", Integer),  # 1: the valid answer of a person to a task
    UniqueConstraint("key", name="events_key"),
)
IS_LIVE = text("live = 1")
_some("events_one_live_answer", IS_LIVE, events.c.task, events.c.labeler, unique=True)
_some("events_answers", IS_LIVE, events.c.labeler, events.c.n)
bodies = Table(  # what an event says; the salt keeps a short text from being guessed by its digest
    "bodies",
    metadata,
    Column("event", Integer, primary_key=True, autoincrement=False),
    _has("salt", String),
    _has("text", Text),
)
drafts = Table(
    "drafts",
    metadata,
    *_pair("task", "labeler"),
    _has("body", Text),
    _has("at", Double),
)
partners = Table(  # how many normal tasks two people have both judged, each pair in both directions
    "partners",
    metadata,
    *_pair("labeler", "other"),
    _has("tasks", Integer),
)
instructions = Table(
    "instructions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    _has("markdown", Text),
    _has("at", Double),
)
