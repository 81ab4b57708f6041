"""The tables of a store, on SQLite and on PostgreSQL.

``events`` and ``bodies`` are the truth. All other state (counters, leases, who shares tasks with
whom, the column ``live``) follows from them and is kept for speed; `verify` compares.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = 1
"""Number of this form of the tables. A store with a higher one is refused."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)
CLOSED = "closed"
"""Key in ``meta``: when the round was closed, "" before."""
PLACES = "places"
"""Key in ``meta``: judgments wanted of the tasks that several people judge."""
head = Table(  # one row: the end of the chain; whoever appends locks it
    "head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("chain", String, nullable=False),
    Column("at", Double, nullable=False),
)
tasks = Table(
    "tasks",
    metadata,
    Column("id", String, primary_key=True),
    Column("n", Integer, nullable=False),  # place in the pool
    Column("kind", String, nullable=False),
    Column("origin", String, nullable=False, index=True),
    Column("repeats", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("want", Integer, nullable=False),
    # Judgments that nobody has given or holds a lease for; 0 unless the task is normal.
    Column("open", Integer, nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("skips", Integer, nullable=False, default=0),
    Column("aside", Integer, nullable=False, default=0),  # 1: too many people skipped it
)
# The words of these conditions are in the queries letter by letter: a bound number would hide from
# SQLite that the index fits.
IS_SINGLE = text("open > 0 AND aside = 0 AND want = 1")
IS_FRESH = text("open > 0 AND aside = 0 AND want > 1 AND open = want")
IS_STARTED = text("open > 0 AND aside = 0 AND want > 1 AND open < want")
for name, condition in (("single", IS_SINGLE), ("fresh", IS_FRESH), ("started", IS_STARTED)):
    Index(f"tasks_{name}", tasks.c.n, sqlite_where=condition, postgresql_where=condition)

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("group", String, nullable=False),
    Column("held_out", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("token", String, unique=True),  # sha256 of the token; null: no way in
    Column("consent", Integer, nullable=False, default=0),
    Column("submitted", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("since", Double, nullable=False),
    Column("last", Double),  # their last answer
)
leases = Table(
    "leases",
    metadata,
    Column("task", String, primary_key=True),
    Column("labeler", String, primary_key=True),
    Column("state", String, nullable=False),  # held, lapsed, done, skipped
    Column("until", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", Integer),  # the person's last answer to it, valid or taken back
    Column("several", Integer, nullable=False),  # 1: a normal task that several people judge
)
OF_SEVERAL = text("several = 1")
Index(
    "leases_several",
    leases.c.labeler,
    leases.c.state,
    sqlite_where=OF_SEVERAL,
    postgresql_where=OF_SEVERAL,
)
IS_HELD = text("state = 'held'")
Index("leases_until", leases.c.until, sqlite_where=IS_HELD, postgresql_where=IS_HELD)
Index("leases_labeler", leases.c.labeler, leases.c.state)

events = Table(
    "events",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("task", String),
    Column("labeler", String),
    Column("key", String),
    Column("seconds", Double),
    Column("instructions", Integer),
    Column("supersedes", Integer),
    Column("body", String, nullable=False),
    Column("chain", String, nullable=False),
    Column("live", Integer, nullable=False),  # 1: the valid answer of a person to a task
    UniqueConstraint("key", name="events_key"),
)
IS_LIVE = text("live = 1")
Index(
    "events_one_live_answer",
    events.c.task,
    events.c.labeler,
    unique=True,
    sqlite_where=IS_LIVE,
    postgresql_where=IS_LIVE,
)
Index(
    "events_answers",
    events.c.labeler,
    events.c.n,
    sqlite_where=IS_LIVE,
    postgresql_where=IS_LIVE,
)
bodies = Table(  # what an event says; the salt keeps a short text from being guessed by its digest
    "bodies",
    metadata,
    Column("event", Integer, primary_key=True, autoincrement=False),
    Column("salt", String, nullable=False),
    Column("text", Text, nullable=False),
)
drafts = Table(
    "drafts",
    metadata,
    Column("task", String, primary_key=True),
    Column("labeler", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("at", Double, nullable=False),
)
partners = Table(  # how many normal tasks two people have both judged, each pair in both directions
    "partners",
    metadata,
    Column("labeler", String, primary_key=True),
    Column("other", String, primary_key=True),
    Column("tasks", Integer, nullable=False),
)
instructions = Table(
    "instructions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("markdown", Text, nullable=False),
    Column("at", Double, nullable=False),
)
