"""A copy of a store while people work."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from preflab.errors import StorageError, UserError
from preflab.storage.durable import fsync, in_words, writing
from preflab_people.store.database import Database, make_private


def backup(database: Database, path: Path) -> None:
    """Copy a store into a new file, by SQLite's backup: the copy is of one moment, and nobody
    waits. It has the name only when it is whole and on disk."""
    if database.path is None:
        address = database.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise UserError(
            f"{database.name} is copied by PostgreSQL's own tool: "
            f"pg_dump --format=custom --file={path} {address}"
        )
    if path.exists():
        raise UserError(f"{path} is there already: give the name of a new file.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        make_private(temporary)
    except OSError as error:
        raise UserError(f"No file can be made in {path.parent}: {in_words(error)}.") from None
    try:
        with writing("a backup", path.parent):
            _copy(database.path, temporary)
            fsync(temporary)
            os.replace(temporary, path)
            fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as from_store,
        contextlib.closing(sqlite3.connect(target)) as to_copy,
    ):
        try:
            from_store.backup(to_copy)
            # One file, without a journal beside it.
            to_copy.execute("PRAGMA journal_mode = DELETE")
            said = [row[0] for row in to_copy.execute("PRAGMA integrity_check")]
        except sqlite3.Error as error:
            raise StorageError(
                f"The backup of {source} failed: {error}. The store is as it was; the file of the "
                "backup was not made."
            ) from error
    if said != ["ok"]:
        raise StorageError(f"{source} is damaged, and so would be its backup: {said[0]}")
