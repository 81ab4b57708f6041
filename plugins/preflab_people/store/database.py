"""Connections and transactions of a store: durable, one writer at a time on SQLite, and errors in
words."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from preflab.errors import StorageError, UserError
from preflab.storage.durable import free, in_words, unwritable
from preflab_people.store.together import Together

T = TypeVar("T")
BUSY_MILLISECONDS = 20_000
PRAGMAS = (
    f"busy_timeout = {BUSY_MILLISECONDS}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",  # what is deleted is overwritten
)
ATTEMPTS = 5
"""Of a transaction that PostgreSQL chose to give way to another one."""
PATIENCE = 50
"""Looks, 100 ms apart, at a lock whose holder may just have been killed."""
SERVER_LOCK = 7_303_014
"""Number of PostgreSQL's advisory lock that a server holds."""


class Database:
    """One database and its connections. Threads may share it; forked processes may not."""

    def __init__(self, url: str | Path) -> None:
        self.url = _url(url)
        self.path = Path(self.url.database or "") if self.is_sqlite else None
        self.engine = _engine(self.url)
        self._turn = threading.Lock()
        self._together = Together(self._turn, self._writing)
        self._lock: Any = None

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """Where it is, for messages; never with a password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment and changes nothing."""
        with self._in_words(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do work in one transaction, which is durable when this returns. The work may be done
        again from the start, when PostgreSQL had to choose between two transactions, or the
        database refused another thread's work in the same one."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._together.do(work)
            except StorageError as error:
                if attempt == ATTEMPTS or _code(error.__cause__) not in ("40001", "40P01"):
                    raise
                time.sleep(0.01 * attempt)
        raise AssertionError("not reached")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that will write, with its turn from the start."""
        with self._in_words(), self.engine.connect() as connection:
            connection = connection.execution_options(preflab_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    def tables(self) -> set[str]:
        """Names of the tables that there are."""
        with self._in_words():
            return set(inspect(self.engine).get_table_names())

    def outside(self, *statements: str) -> list[tuple[Any, ...]]:
        """Do statements that no transaction may hold, while no other thread writes; the first row
        of each, if it gives any."""
        rows: list[tuple[Any, ...]] = []
        with self._in_words(), self._turn, self.engine.connect() as connection:
            if self.is_sqlite:
                connection = connection.execution_options(preflab_begin=None)
            else:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                result = connection.execute(text(statement))
                rows.append(tuple(result.first() or ()) if result.returns_rows else ())
        return rows

    def serve(self) -> None:
        """Take the lock of the one server; `UserError` if another process has it."""
        if self.path is not None:
            lock = FileLock(f"{self.path}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise self._served() from None
            self._lock = lock
            return
        with self._in_words():
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # A killed server's connection lives until PostgreSQL notices.
            for _ in range(PATIENCE):
                if connection.scalar(text(f"SELECT pg_try_advisory_lock({SERVER_LOCK})")):
                    self._lock = connection
                    return
                time.sleep(0.1)
            connection.close()
        raise self._served()

    def _served(self) -> UserError:
        return UserError(
            f"Another process serves {self.name} already: a round has one server. Use that one, or "
            "end it first."
        )

    @property
    def is_serving(self) -> bool:
        """Whether the lock of the one server is held here."""
        return self._lock is not None

    def end_serving(self) -> None:
        """Give the server's lock back."""
        if self._lock is not None:
            (self._lock.release if self.path is not None else self._lock.close)()
            self._lock = None

    def dispose(self) -> None:
        """Close all connections and give the server's lock back."""
        self.end_serving()
        self.engine.dispose()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Within it an error of the database becomes one `StorageError`."""
        try:
            yield
        except DBAPIError as error:
            raise StorageError(self._words(error)) from error
        except OSError as error:
            raise StorageError(f"{self.name} cannot be used: {in_words(error)}.") from error

    def _words(self, error: DBAPIError) -> str:
        code = _code(error)
        if self.path is None and (error.connection_invalidated or code == "57P01"):
            self.engine.dispose()  # the other connections will be lost as well
            return self._lost(error.orig)
        if self.path is None and isinstance(error, OperationalError) and not code:
            return f"{self.name} cannot be reached: {_line(error.orig)}"
        kept = "Everything that was confirmed before is kept; what was just sent was not saved"
        if code in ("SQLITE_FULL", "53100") or "No space left" in str(error.orig):
            room = f" ({free(self.path.parent):,} bytes free)" if self.path else ""
            return (
                f"The disk with {self.name} is full{room}. {kept}: make room, then send it again."
            )
        if code.startswith("SQLITE_READONLY") or code == "25006":
            return f"{self.name} is read-only. {kept}: make it writable, then send it again."
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or code == "55P03":
            return f"{self.name} is held by another process for too long. {kept}: send it again."
        if code in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            return (
                f"{self.name} is damaged: put the last backup (of preflab label backup) in its "
                f"place, and remove {self.path}-wal and {self.path}-shm beside it."
            )
        if code == "SQLITE_CANTOPEN":
            why = unwritable(self.path.parent) if self.path else ""
            return f"{self.name} cannot be opened: {why or 'is it a file?'}"
        return f"{self.name} refused: {_line(error.orig)}. {kept}."

    def _lost(self, error: BaseException | None) -> str:
        return (
            f"The connection to {self.name} was lost ({_line(error)}). It is made anew: send again "
            "what was not confirmed; what was saved already is not saved twice."
        )


def _code(error: BaseException | None) -> str:
    """The name that SQLite, or the number that PostgreSQL gives an error."""
    original = getattr(error, "orig", None)
    name = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return str(name or "")


def _line(error: BaseException | None) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


def _url(url: str | Path) -> URL:
    """The URL of a store: a path is SQLite's."""
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(Path(url).absolute()))
    try:
        made = make_url(url)
        backend = made.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(f"This is no address of a store: {error}") from error
    if backend == "sqlite" and made.database not in (None, "", ":memory:"):
        return made.set(database=str(Path(str(made.database)).absolute()))
    if backend != "postgresql" or not made.database or "unix_sock" in made.query:
        raise UserError(
            "A store is a path to an SQLite file or postgresql://USER@HOST/DATABASE "
            "(postgresql://USER@/DATABASE?host=FOLDER for a socket in a folder), "
            f"not {made.render_as_string(hide_password=True)!r}."
        )
    return made.set(drivername="postgresql+psycopg")  # whichever the address names


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        engine = create_engine(url, pool_size=8, max_overflow=32)

        @event.listens_for(engine, "connect")
        def durable(connection: Any, record: Any) -> None:
            connection.execute("SET synchronous_commit = on")
            connection.execute(f"SET lock_timeout = {BUSY_MILLISECONDS}")
            connection.commit()

        return engine
    engine = create_engine(url, pool_size=8, max_overflow=32)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, and as we say
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails as soon as another one wrote.
        if words := connection.get_execution_options().get("preflab_begin", "BEGIN"):
            connection.exec_driver_sql(words)

    return engine


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read, if there is none; SQLite's files beside it
    have the same rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
