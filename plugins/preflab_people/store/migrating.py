"""Stores that an earlier preflab made: brought to today's form, or refused with the cure.

The history stays as it is, letter by letter. What is kept beside it for speed is made anew by
today's rules, and compared with the history before anything is on disk.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, inspect, select, text, update

from preflab.errors import StorageError, UserError
from preflab_people.judgments import takes_place
from preflab_people.store import events, schema, verifying
from preflab_people.store.backup import backup
from preflab_people.store.database import Database
from preflab_people.store.settings import RoundSettings, settings_from_json

LATER = {("leases", "counts")}
"""Columns that form 1 need not have: it got this one while it was in use."""
log = logging.getLogger(__name__)


def form_of(database: Database) -> int:
    """The number of the form of a store's tables; `UserError` if it holds no round."""
    if not {"meta", "head", "events", "bodies"} <= database.tables():
        raise UserError(f"{database.name} holds no round.")
    with database.reading() as connection:
        query = select(schema.meta.c.value).where(schema.meta.c.key == "schema")
        said = connection.scalar(query)
    if said is None or not str(said).isdecimal():
        raise UserError(f"{database.name} holds no round: its tables are of another program.")
    return int(said)


def copy_of(path: Path, form: int) -> Path:
    """Where the copy of a store in an earlier form is kept.

    >>> copy_of(Path("labels/a/store.sqlite"), 1).name
    'store.form-1.sqlite'
    """
    return path.with_name(f"{path.stem}.form-{form}{path.suffix}")


def to_newest(database: Database) -> None:
    """Bring a store to today's form, a copy of it first. `UserError` for one that a newer preflab
    made, or that cannot be brought there; then nothing has changed."""
    form = form_of(database)
    if form > schema.SCHEMA:
        raise UserError(
            f"{database.name} was made by a newer preflab (form {form} of the tables; this one "
            f"knows {schema.SCHEMA}): update preflab."
        )
    if form == schema.SCHEMA:
        return
    if strange := _strange(database):
        raise UserError(_refusal(database, form, strange))
    with _alone(database):
        kept = _kept(database, form)
        database.write(lambda connection: _migrate(connection, database, form))
    log.warning(
        "%s was brought from form %d of its tables to form %d; nothing that people said was "
        "changed. %s",
        *(database.name, form, schema.SCHEMA, kept),
    )


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Within it no server of an earlier preflab works with the store."""
    if database.is_serving:
        yield
        return
    database.serve()
    try:
        yield
    finally:
        database.end_serving()


def _kept(database: Database, form: int) -> str:
    """Copy an SQLite store; where it is, in words."""
    if database.path is None:
        return "It was done in one transaction, and checked before its end."
    copy = copy_of(database.path, form)
    if not copy.exists():
        backup(database, copy)
    return f"As it was it is kept in {copy}."


def _strange(database: Database) -> str:
    """A column without which the store cannot be read, "" if there is none."""
    looking = inspect(database.engine)
    for table in schema.metadata.sorted_tables:
        if not looking.has_table(table.name):
            return table.name
        present = {column["name"] for column in looking.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present and (table.name, column.name) not in LATER:
                return f"{table.name}.{column.name}"
    return ""


def _refusal(database: Database, form: int, problem: str) -> str:
    return (
        f"{database.name} was made by an earlier preflab (form {form} of the tables) and cannot be "
        f"brought to form {schema.SCHEMA}: {problem}. Nothing was changed. What people said is in "
        "it: with the preflab that made it give 'preflab label close NAME --early' and 'preflab "
        "label export NAME --format preflab --out FOLDER', then 'preflab label import OTHER "
        "FOLDER --format preflab' here."
    )


def _migrate(connection: Connection, database: Database, form: int) -> None:
    settings = _settings(connection, database, form)
    if "counts" not in {c["name"] for c in inspect(connection).get_columns("leases")}:
        connection.execute(text("ALTER TABLE leases ADD COLUMN counts INTEGER DEFAULT 0 NOT NULL"))
    for table in schema.metadata.sorted_tables:
        for index in inspect(connection).get_indexes(table.name):
            if index["name"] and "duplicates_constraint" not in index:
                connection.execute(text(f'DROP INDEX "{index["name"]}"'))
        for made in table.indexes:
            made.create(connection)
    _make_anew(connection, settings)
    newest = update(schema.meta).where(schema.meta.c.key == "schema")
    connection.execute(newest.values(value=str(schema.SCHEMA)))
    if problems := verifying.problems(connection, settings):
        raise UserError(_refusal(database, form, problems[0]))


def _settings(connection: Connection, database: Database, form: int) -> RoundSettings:
    said = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "settings"))
    try:
        return settings_from_json(json.loads(said or ""))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(_refusal(database, form, f"its settings ({error})")) from None


def _make_anew(connection: Connection, settings: RoundSettings) -> None:
    """Everything that follows from the history, by today's rules."""
    leases, tasks, people = schema.leases.c, schema.tasks.c, schema.people.c
    query = (
        select(leases.task, leases.labeler, tasks.origin, tasks.kind, tasks.want, people.held_out)
        .join_from(schema.leases, schema.tasks, tasks.id == leases.task)
        .join(schema.people, people.id == leases.labeler)
    )
    rows = []
    for row in connection.execute(query):
        counts = takes_place(row.origin, row.kind, bool(row.held_out))
        whose = {"of_task": row.task, "of_labeler": row.labeler}
        rows.append({**whose, "place": int(counts), "double": int(counts and row.want > 1)})
    if rows:
        whose_lease = leases.task == bindparam("of_task"), leases.labeler == bindparam("of_labeler")
        lease = update(schema.leases).where(*whose_lease)
        values: dict[str, Any] = {"counts": bindparam("place"), "several": bindparam("double")}
        connection.execute(lease.values(values), rows)
    expected = verifying.expected(connection, settings, tuple(events.history(connection)))
    numbers: dict[str, Any] = {name: bindparam(f"is_{name}") for name in verifying.COUNTED}
    task = update(schema.tasks).where(tasks.id == bindparam("name")).values(numbers)
    counted = [
        {"name": name, **{f"is_{what}": number for what, number in values.items()}}
        for name, values in expected.tasks.items()
    ]
    if counted:
        connection.execute(task, counted)
    connection.execute(delete(schema.partners))
    shared = [
        {"labeler": one, "other": other, "tasks": number}
        for (one, other), number in expected.shared.items()
    ]
    if shared:
        connection.execute(insert(schema.partners), shared)


def damaged(database: Database, error: Exception) -> StorageError:
    """The settings of a store cannot be read, though its form is known."""
    return StorageError(
        f"{database.name} is damaged: the settings of its round cannot be read ({error}). Restore "
        "the last backup (preflab label backup)."
    )
