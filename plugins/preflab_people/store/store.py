"""The door of the store: one class, one transaction a call. ``now`` is in seconds since 1970, UTC;
the caller owns the clock."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, insert, select, update

from preflab.errors import UserError
from preflab_people.judgments import Answer, Judgment, Person, PersonState, Task
from preflab_people.store import (
    adding,
    assignment,
    consents,
    erasing,
    events,
    leases,
    making,
    people,
    schema,
    snapshot,
    submissions,
    survey,
    verifying,
)
from preflab_people.store.backup import backup
from preflab_people.store.database import Database, make_private
from preflab_people.store.names import FILE, Names
from preflab_people.store.records import (
    Added,
    Assignment,
    Consent,
    Instructions,
    Invitation,
    Member,
    Progress,
    Receipt,
    Snapshot,
    StoreRefusal,
)
from preflab_people.store.settings import RoundSettings


class Store:
    """A round's store. Threads may share it; a forked process opens its own.

    Every method that changes something is durable when it returns. It raises `StoreRefusal` with a
    code where a person asked for what cannot be, and `StorageError` where the disk or the database
    refused; then nothing has changed.
    """

    def __init__(self, database: Database, names: Path | None = None) -> None:
        self._database = database
        self.settings: RoundSettings = making.known_settings(database)
        if names is None and database.path is not None:
            names = database.path.with_name(FILE)
        self.names = None if names is None else Names(names)

    @classmethod
    def create(
        cls,
        url: str | Path,
        settings: RoundSettings,
        tasks: Sequence[Task],
        now: float | None = None,
        names: Path | None = None,
    ) -> Self:
        """Make the store of a new round.

        url: the path of an SQLite file, or an SQLAlchemy URL (``postgresql://``) of an empty
        database. names: the file that says who people are, by default ``people.json`` beside an
        SQLite file. `UserError` if there is a round already, or for tasks that no round can have.
        """
        making.check_tasks(settings, tasks)
        database = Database(url)
        if database.path is not None:
            make_private(database.path)
        if "meta" in database.tables():
            database.dispose()
            raise UserError(
                f"{database.name} holds a round already: choose another name, or go on with that "
                "round."
            )
        at = time.time() if now is None else now
        try:
            database.write(lambda c: making.make(c, settings, tasks, at))
            return cls(database, names)
        except BaseException:
            database.dispose()
            raise

    @classmethod
    def open(cls, url: str | Path, serving: bool = False, names: Path | None = None) -> Self:
        """Open the store of a round. serving: be its one server; `UserError` if there is another,
        or no round, or one that a newer preflab made."""
        database = Database(url)
        if database.path is not None and not database.path.exists():
            raise UserError(
                f"There is no round in {database.name}: the file is missing. If it was lost, put "
                "the last backup (of preflab label backup) in its place."
            )
        try:
            if serving:
                database.serve()
            return cls(database, names)
        except BaseException:
            database.dispose()
            raise

    def dispose(self) -> None:
        """Close the connections, and let another server have the store."""
        self._database.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dispose()

    # --- people ---

    def invite(
        self,
        group: str = "",
        held_out: bool = False,
        screened: bool = False,
        about: Mapping[str, Any] | None = None,
        *,
        now: float,
    ) -> Invitation:
        """Add a person, with a token that is shown this once. screened: tried out elsewhere.
        about: name, address and the like, for ``people.json`` alone."""
        if about and self.names is None:
            raise UserError("Say in which file names belong: they are not kept in a database.")
        settings = self.settings
        made = self._database.write(
            lambda c: people.invite(c, settings, group, held_out, screened, now)
        )
        if about and self.names is not None:
            self.names.add({made.labeler: about})
        return made

    def new_token(self, labeler: str, now: float) -> Invitation:
        """Another token for a person; the one before is void."""
        return self._database.write(lambda c: people.new_token(c, labeler, now))

    def login(self, token: str, now: float) -> Person | None:
        """Whose token it is; None for nobody's, and for people who were removed or forgotten."""
        with self._database.reading() as connection:
            return people.by_token(connection, token)

    def link_mark(self, labeler: str) -> str:
        """A mark of the link by which a person comes in, which tells nothing of its token; another
        one after `new_token`. A mark of no link for who has none, or is nobody."""
        with self._database.reading() as connection:
            return people.link_mark(connection, labeler)

    def person(self, labeler: str) -> Person:
        """A person; `StoreRefusal` if there is none of this name."""
        with self._database.reading() as connection:
            return people.one(connection, labeler)

    def people(self) -> tuple[Person, ...]:
        """Everybody who was invited."""
        with self._database.reading() as connection:
            return people.everybody(connection)

    def member(self, labeler: str) -> Member:
        """A person and what they did."""
        with self._database.reading() as connection:
            found = people.members(connection, self.settings, labeler)
        if not found:
            raise StoreRefusal("unknown_person")
        return found[0]

    def set_state(self, labeler: str, state: PersonState, now: float) -> None:
        """Let a person work ("active", which also decides about a screening), pause or go
        ("removed": their judgments stay in the history and count no more: others are asked)."""

        def change(connection: Any) -> None:
            before = people.set_state(connection, labeler, state, now)
            if (before == "removed") != (state == "removed"):
                leases.release_all(connection, labeler)
                counts = state != "removed"
                submissions.count_again(connection, self.settings, labeler, counts)

        self._database.write(change)

    def forget(self, labeler: str, now: float) -> None:
        """Delete what a person said, wrote and was, here and in the files with names and with the
        survey. Their pseudonym stays in the history, without
        anything that they said; others are asked in their place. The store's file is written anew.
        Backups and frozen rounds that were made before are left to whoever keeps them."""
        self._database.write(lambda c: erasing.forget(c, self.settings, labeler, now))
        if self.names is not None:
            self.names.forget(labeler)
            survey.forget(self.names.path.with_name(survey.FILE), labeler)
        erasing.overwrite(self._database)

    def consent_text(self) -> Consent:
        """The newest text that people agree to; an empty one asks nobody."""
        with self._database.reading() as connection:
            return consents.newest(connection, self.settings)

    def add_consent(self, markdown: str, now: float) -> int:
        """Make a new version of that text: everybody is asked again. The same text is the same
        version."""
        return self._database.write(lambda c: consents.add(c, self.settings, markdown, now))

    def consent(self, labeler: str, version: int, now: float) -> None:
        """A person agreed to a version of the consent text."""
        self._database.write(lambda c: people.consent(c, labeler, version, now))

    # --- work ---

    def next_task(self, labeler: str, now: float) -> Assignment | None:
        """The task that a person works on, with their draft, or a new one. None: there is none for
        them now."""
        settings = self.settings
        return self._database.write(lambda c: assignment.next_task(c, settings, labeler, now))

    def assigned(self, labeler: str, task: str) -> Assignment:
        """A task that a person holds or held, in the order in which they saw it; `StoreRefusal`
        if it was never theirs. Changes nothing."""
        with self._database.reading() as connection:
            return assignment.assigned(connection, self.settings, labeler, task)

    def renew(self, labeler: str, task: str, now: float) -> float:
        """The page is alive: keep the task. Until when."""
        settings = self.settings
        return self._database.write(lambda c: assignment.renew(c, settings, labeler, task, now))

    def save_draft(self, labeler: str, task: str, body: Mapping[str, Any], now: float) -> None:
        """Keep what a person has written so far, in the place of what was kept before."""
        settings = self.settings
        self._database.write(lambda c: assignment.save_draft(c, settings, labeler, task, body, now))

    def submit(
        self,
        labeler: str,
        task: str,
        answer: Answer,
        key: str,
        seconds: float = 0.0,
        order: Sequence[int] = (),
        instructions: int = 1,
        *,
        now: float,
    ) -> Receipt:
        """Take a person's answer; with another key, a correction of an earlier one. The same key
        gives the first receipt again. A late answer is kept if its task still wants it."""
        sent = submissions.Submission(task, answer, key, seconds, tuple(order), instructions)
        settings = self.settings
        return self._database.write(lambda c: submissions.submit(c, settings, labeler, sent, now))

    def add(self, people: Mapping[str, Person], judgments: Sequence[Judgment], now: float) -> Added:
        """Put judgments from elsewhere into the round, all or none. people: who gave them, by
        pseudonym; those that the round has not are added, without a way in."""
        settings = self.settings
        return self._database.write(lambda c: adding.add(c, settings, people, judgments, now))

    def undo(self, labeler: str, now: float) -> Assignment:
        """Take a person's last answer back and give them its task again."""
        settings = self.settings
        return self._database.write(lambda c: submissions.undo(c, settings, labeler, now))

    # --- the round ---

    def instructions(self, version: int | None = None) -> Instructions:
        """A version of the instructions, by default the newest; version 0, empty, without any."""
        with self._database.reading() as connection:
            found = snapshot.all_instructions(connection)
        if version is None:
            return found[-1] if found else Instructions(0, "")
        for one in found:
            if one.version == version:
                return one
        raise UserError(
            f"There is no version {version} of the instructions; there are {len(found)}."
        )

    def add_instructions(self, markdown: str, now: float) -> int:
        """Make a new version of the instructions, from now on the one that people see."""

        def add(connection: Any) -> int:
            made = events.append(connection, "instructions", now, {"markdown": markdown})
            newest = connection.scalar(select(func.max(schema.instructions.c.version))) or 0
            values = {"version": newest + 1, "markdown": markdown, "at": made.at}
            connection.execute(insert(schema.instructions).values(**values))
            return int(newest) + 1

        return self._database.write(add)

    def close(self, now: float) -> None:
        """Take no more answers. Closing twice is closing once."""

        def end(connection: Any) -> None:
            row = select(schema.meta.c.value).where(schema.meta.c.key == schema.CLOSED)
            if not connection.scalar(row.with_for_update()):  # waits for answers on their way
                events.append(connection, "closed", now)
                closed = update(schema.meta).where(schema.meta.c.key == schema.CLOSED)
                connection.execute(closed.values(value=json.dumps(now)))

        self._database.write(end)

    @property
    def is_closed(self) -> bool:
        """Whether the round takes no more answers."""
        with self._database.reading() as connection:
            return snapshot.is_closed(connection)

    def progress(self) -> Progress:
        """How far the round is."""
        with self._database.reading() as connection:
            return snapshot.progress(connection, self.settings)

    def backup(self, path: str | Path) -> None:
        """Copy the store into a new file while people work. Names (``people.json``) are not in
        it. On PostgreSQL a `UserError` names its own tool."""
        backup(self._database, Path(path))

    def verify(self) -> tuple[str, ...]:
        """What is wrong with the store, in words: with its file, with the chain of its history, or
        with what is kept beside the history. Nothing if it is whole."""
        with self._database.reading() as connection:
            return verifying.problems(connection, self.settings)

    def snapshot(self) -> Snapshot:
        """All of the round at one moment."""
        with self._database.reading() as connection:
            return snapshot.snapshot(connection, self.settings)
