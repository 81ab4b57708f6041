"""Forgetting a person: what they wrote leaves the store, and the history still holds together."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from preflab.errors import StorageError
from preflab_people.store import drafts, events, leases, people, schema, submissions
from preflab_people.store.database import Database
from preflab_people.store.settings import RoundSettings

EVENTS, BODIES, PARTNERS = schema.events.c, schema.bodies.c, schema.partners.c


def forget(connection: Connection, settings: RoundSettings, labeler: str, now: float) -> None:
    """Delete what a person said, wrote and was: bodies of their events, drafts, token and group.
    Their answers are no longer valid; others are asked. A tombstone event stays."""
    if people.one(connection, labeler).state == "forgotten":
        return  # the files are still to be written anew
    before = people.locked(connection, labeler)
    leases.release_all(connection, labeler)
    if before["state"] != "removed":
        submissions.count_again(connection, settings, labeler, counts=False)
    theirs = EVENTS.labeler == labeler
    connection.execute(update(schema.events).where(theirs, schema.IS_LIVE).values(live=0))
    said = select(EVENTS.n).where(theirs)
    connection.execute(delete(schema.bodies).where(BODIES.event.in_(said)))
    drafts.drop(connection, labeler)
    shared = (PARTNERS.labeler == labeler) | (PARTNERS.other == labeler)
    connection.execute(delete(schema.partners).where(shared))
    people.make_nobody(connection, labeler)
    events.append(connection, "forgotten", now, labeler=labeler)


def overwrite(database: Database) -> None:
    """Write the files anew, so that nothing deleted is left in them.

    SQLite overwrites what it deletes; copies can be left in pages that were split, and in the
    journal. PostgreSQL's own journal and its backups are the administrator's.
    """
    if not database.is_sqlite:
        tables = (schema.bodies, schema.drafts, schema.people, schema.events)
        database.outside(*(f"VACUUM FULL {table.name}" for table in tables))
        return
    _, (is_busy, *_) = database.outside("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
    if is_busy:
        raise StorageError(
            f"The person was forgotten, but another program is reading {database.name}: what they "
            "wrote is still in the journal beside it. End that program, and give the same command "
            "again."
        )
