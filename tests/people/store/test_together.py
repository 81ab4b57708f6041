"""Work that waits for its turn is done in one transaction: all of it on disk, or none, and what
fails fails alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from people.store.rounds import a_round, tasks
from preflab.errors import StorageError
from preflab_people.store import Store, StoreRefusal


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made, _ = a_round(tmp_path / "store.sqlite", tasks(single=3), people=1)
    yield made
    made.dispose()


def count(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM drafts")) or 0)


def draft(name: str) -> Callable[[Connection], int]:
    """Adds a draft; how many there are then."""

    def work(connection: Connection) -> int:
        values = {"task": name, "labeler": "x", "body": "{}", "at": 1.0}
        names = "(task, labeler, body, at) VALUES (:task, :labeler, :body, :at)"
        connection.execute(text(f"INSERT INTO drafts {names}"), values)
        return count(connection)

    return work


def refused(connection: Connection) -> int:
    draft("refused")(connection)
    raise StoreRefusal("closed")


def spoilt(connection: Connection) -> int:
    draft("spoilt")(connection)
    connection.execute(text("SELECT * FROM no_table"))
    return 0


def done_together(
    store: Store, *works: Callable[[Connection], int], fails: bool = False
) -> tuple[list[Any], int]:
    """What came of each piece of work, all of which wait while somebody else has the turn; and in
    how many transactions they were done. fails: nothing can be put on disk."""
    database, found = store._database, [None] * len(works)
    dialect, commits = database.engine.dialect, []
    commit = dialect.do_commit

    def counted(connection: Any) -> None:
        commits.append(1)
        if fails:
            raise OSError(28, "No space left on device")
        commit(connection)

    def do(place: int) -> None:
        try:
            found[place] = database.write(works[place])  # type: ignore[call-overload]
        except BaseException as error:
            found[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=do, args=(place,)) for place in range(len(works))]
    dialect.do_commit = counted  # type: ignore[assignment, method-assign]
    with database._turn:
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(database._together._waiting) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    dialect.do_commit = commit  # type: ignore[method-assign]
    return found, len(commits)


def left(store: Store) -> int:
    with store._database.reading() as connection:
        return count(connection)


def test_what_waits_is_done_in_one_transaction(store: Store) -> None:
    found, commits = done_together(store, *map(draft, "abcde"))
    assert (found, commits) == ([1, 2, 3, 4, 5], 1)
    assert left(store) == 5


def test_a_refusal_takes_nothing_with_it(store: Store) -> None:
    found, commits = done_together(store, draft("a"), refused, draft("b"))
    assert (found[0], found[2], commits) == (1, 2, 1)
    assert isinstance(found[1], StoreRefusal)
    assert left(store) == 2


def test_what_the_database_refuses_fails_alone(store: Store) -> None:
    found, _ = done_together(store, draft("a"), spoilt, draft("a"), draft("b"))
    assert (found[0], found[3]) == (1, 2)
    assert "no such table" in str(found[1])
    assert "UNIQUE" in str(found[2])
    assert all(isinstance(one, StorageError) for one in found[1:3])
    assert left(store) == 2


def test_what_could_not_be_put_on_disk_is_confirmed_to_nobody(store: Store) -> None:
    found, _ = done_together(store, draft("a"), draft("b"), fails=True)
    assert [type(one) for one in found] == [StorageError] * 2
    assert left(store) == 0


def test_who_is_interrupted_leaves_the_work_of_others_to_them(store: Store) -> None:
    """Whoever does the work of both is interrupted within the first piece."""
    calls = []

    def interrupted_once(connection: Connection) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return draft("a")(connection)

    found, _ = done_together(store, interrupted_once, draft("b"))
    assert sorted(type(one).__name__ for one in found) == ["KeyboardInterrupt", "int"]
    assert left(store) == 1
    assert store._database.write(draft("c")) == 2
