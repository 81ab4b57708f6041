"""Durability, turns, and errors in words."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from people.postgresql import Cluster
from people.store.rounds import a_round, answer, new_key, tasks, work
from preflab.errors import StorageError, UserError
from preflab_people.judgments import Answer
from preflab_people.store import Store, schema
from preflab_people.store.database import Database


def _forked(work: Callable[[], object]) -> int:
    """The exit code of work in a forked process: 0, 1 for an error, 99 for one that is shown."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_every_connection_is_durable_and_overwrites_what_it_deletes(tmp_path: Path) -> None:
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1))
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "busy_timeout": 20_000}
    held = [store._database.engine.connect() for _ in range(3)]
    for connection in held:
        for name, value in wanted.items():
            assert connection.scalar(text(f"PRAGMA {name}")) == value, name  # 2 is FULL
        connection.close()
    store.dispose()


def test_a_connection_to_postgresql_waits_for_the_disk(cluster: Cluster) -> None:
    store, _ = a_round(cluster.database(), tasks(single=1))
    with store._database.engine.connect() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
    store.dispose()


def test_a_transaction_that_will_write_has_its_turn_from_the_start(tmp_path: Path) -> None:
    """A deferred one would read, and be refused when it writes after somebody else."""
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1))
    other = sqlite3.connect(tmp_path / "store.sqlite", timeout=0, isolation_level=None)

    def look(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))  # nothing is written yet
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("BEGIN IMMEDIATE")

    store._database.write(look)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    with store._database.reading():
        other.execute("BEGIN IMMEDIATE")  # a reader is in nobody's way
        other.execute("ROLLBACK")
    other.close()
    store.dispose()


def _label(place: str, people: list[str], ready: threading.Barrier) -> None:
    with Store.open(place) as store:
        ready.wait()
        work(store, people)


def test_two_processes_write_at_a_time_and_nobody_is_turned_away(place: str) -> None:
    store, people = a_round(place, tasks(single=20, double=10), people=4)
    store.dispose()
    fork = multiprocessing.get_context("fork")
    ready = fork.Barrier(2)
    workers = [fork.Process(target=_label, args=(place, people[n::2], ready)) for n in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    with Store.open(place) as again:
        assert (again.progress().done, again.progress().open) == (40, 0)
        assert again.verify() == ()


def test_threads_get_different_tasks_and_one_person_one_task(place: str) -> None:
    store, people = a_round(place, tasks(single=6), people=3)
    given: list[tuple[str, str]] = []
    ready = threading.Barrier(6)

    def ask(labeler: str) -> None:
        ready.wait()
        one = store.next_task(labeler, 1.0)
        assert one is not None
        given.append((labeler, one.task.id))

    threads = [threading.Thread(target=ask, args=(one,)) for one in people * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 6
    assert len(set(given)) == 3
    assert len({task for _, task in given}) == 3
    assert store.verify() == ()
    store.dispose()


def test_the_same_answer_sent_at_once_by_two_threads_is_one(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=1), people=1)
    store.next_task(first, 1.0)
    ready, receipts = threading.Barrier(4), []

    def send() -> None:
        ready.wait()
        receipts.append(store.submit(first, "t0", Answer((1, 2, 3)), "k", now=2.0))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({receipt.event for receipt in receipts}) == 1
    assert sum(not receipt.repeated for receipt in receipts) == 1
    assert store.verify() == ()
    store.dispose()


def test_the_database_itself_refuses_two_valid_answers_and_a_key_twice(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=1), people=1)
    store.next_task(first, 1.0)
    answer(store, first, "t0", 2.0)
    row = {"kind": "submitted", "at": 3.0, "body": "", "chain": ""}
    forged = [
        {**row, "n": 90, "task": "t0", "labeler": first, "key": "x", "live": 1},
        {**row, "n": 91, "task": "t9", "labeler": first, "key": "twice", "live": 0},
    ]
    database = Database(place)
    engine = database.engine
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(schema.events), forged[0])
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(schema.events), [forged[1], {**forged[1], "n": 92}])
    database.dispose()
    store.dispose()


def test_there_is_one_server(place: str) -> None:
    store, (first,) = a_round(place, tasks(single=2), people=1)
    store.dispose()
    with Store.open(place, serving=True) as server:
        with pytest.raises(UserError, match=r"Another process serves .* already: a round has one"):
            Store.open(place, serving=True)
        assert server.next_task(first, 1.0) is not None
        with Store.open(place) as command:  # invite, status and the like work beside it
            command.invite(now=2.0)
    Store.open(place, serving=True).dispose()


def test_a_killed_server_leaves_no_lock(place: str) -> None:
    store, _ = a_round(place, tasks(single=1))
    store.dispose()

    def serve() -> None:
        Store.open(place, serving=True)
        os.kill(os.getpid(), 9)

    assert _forked(serve) == -9
    Store.open(place, serving=True).dispose()


def test_a_lost_connection_is_made_again(cluster: Cluster) -> None:
    store, (first,) = a_round(cluster.database(), tasks(single=1), people=1)
    store.next_task(first, 1.0)
    engine = create_engine(store._database.url)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
    with engine.connect() as connection:
        connection.execute(text(f"{others} AND datname = current_database()"))
    engine.dispose()
    key = new_key()
    with pytest.raises(StorageError, match=r"connection to .* was lost .* send again"):
        store.submit(first, "t0", Answer((1, 2, 3)), key, now=2.0)
    receipt = store.submit(first, "t0", Answer((1, 2, 3)), key, now=2.0)
    assert not receipt.repeated
    assert store.verify() == ()
    store.dispose()


def test_nobody_sees_a_password(cluster: Cluster) -> None:
    url = cluster.database().replace("label@", "label:secret@") + "&port=5999"
    with pytest.raises(StorageError, match="cannot be reached: ") as refused:
        Store.open(url)
    assert "secret" not in str(refused.value)


def test_any_driver_in_an_address_is_one_and_what_is_none_is_refused(tmp_path: Path) -> None:
    for url in ("postgresql://me@h/d", "postgresql+pg8000://me@h/d", "postgresql+psycopg://me@h/d"):
        database = Database(url)
        assert database.name == "postgresql+psycopg://me@h/d"
        database.dispose()
    wrong = ("mysql://me@h/d", "postgresql://me@h", "postgresql+pg8000://me@/d?unix_sock=/x")
    for url in wrong:
        with pytest.raises(UserError, match=r"postgresql://USER@HOST/DATABASE"):
            Database(url)


# --- the disk ---


def _mounted(folder: Path, options: str) -> bool:
    """Whether a small disk could be mounted, in a mount namespace of this process alone."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    new_mounts, private = 0x20000, (1 << 14) | (1 << 18)  # CLONE_NEWNS; MS_REC | MS_PRIVATE
    if library.unshare(new_mounts) or library.mount(None, b"/", None, private, None):
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _on_a_small_disk(tmp_path: Path, act: Callable[[Path], None]) -> None:
    """Do something in a forked process on a disk of its own, and say what failed there."""
    disk, said = tmp_path / "disk", tmp_path / "said.txt"
    disk.mkdir()

    def child() -> None:
        if not _mounted(disk, "size=600k"):
            os._exit(98)
        try:
            act(disk)
        except BaseException as error:
            said.write_text(repr(error))
            raise

    code = _forked(child)
    if code == 98:
        pytest.skip("no small disk can be mounted here")
    assert code == 0, said.read_text()


def test_a_full_disk_is_named_and_what_was_confirmed_is_kept(tmp_path: Path) -> None:
    def act(disk: Path) -> None:
        path = disk / "store.sqlite"
        store, (first,) = a_round(path, tasks(single=40), people=1)
        confirmed, said, long = [], "", Answer((1, 2, 3), notes="n" * 20_000)
        for number in range(40):
            try:
                given = store.next_task(first, float(number))
                assert given is not None
                store.submit(first, given.task.id, long, f"k{number}", now=float(number))
            except StorageError as error:
                said = str(error)
                break
            confirmed.append(given.task.id)
        assert confirmed
        assert said.startswith(f"The disk with {path} is full ("), said
        assert "bytes free). Everything that was confirmed before is kept" in said
        assert [j.task for j in store.snapshot().judgments] == confirmed
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        given = store.next_task(first, 50.0)  # the same program goes on
        assert given is not None
        store.submit(first, given.task.id, long, "again", now=51.0)
        assert store.verify() == ()
        store.dispose()

    _on_a_small_disk(tmp_path, act)


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    def act(disk: Path) -> None:
        path = disk / "store.sqlite"
        store, (first,) = a_round(path, tasks(single=3), people=1)
        work(store, [first], rounds=1)
        store.dispose()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StorageError, match=r"cannot be opened: the disk is read-only"):
            Store.open(path)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with Store.open(path) as again:
            assert len(again.snapshot().judgments) == 1

    _on_a_small_disk(tmp_path, act)


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"This is not a database, and it is long enough to be looked at." * 40)
    with pytest.raises(StorageError, match="is damaged: put the last backup"):
        Store.open(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="holds no round"):
        Store.open(path)
    with pytest.raises(StorageError, match=r"cannot be opened: is it a file\?"):
        Store.open(tmp_path)


def test_a_store_held_by_another_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = ("busy_timeout = 50", "journal_mode = WAL", "synchronous = FULL")
    monkeypatch.setattr("preflab_people.store.database.PRAGMAS", pragmas)
    store, (first,) = a_round(tmp_path / "store.sqlite", tasks(single=1), people=1)
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StorageError, match="is held by another process for too long"):
        store.next_task(first, 1.0)
    assert time.monotonic() - begun < 10
    other.execute("ROLLBACK")
    other.close()
    assert store.next_task(first, 2.0) is not None
    store.dispose()


def test_postgresql_deadlocks_are_tried_again(cluster: Cluster) -> None:
    """Of a server and of a command beside it, which do not write together."""
    place = cluster.database()
    store, _ = a_round(place, tasks(single=2))
    command = Store.open(place)
    both, attempts = threading.Barrier(2), []

    def touch(beside: Store, first: str, second: str) -> None:
        def work(connection: Connection) -> None:
            attempts.append(first)
            query = text("UPDATE tasks SET kind = kind WHERE id = :id")
            connection.execute(query, {"id": first})
            if len(attempts) <= 2:
                both.wait()
            connection.execute(query, {"id": second})

        beside._database.write(work)

    orders = ((store, "t0", "t1"), (command, "t1", "t0"))
    threads = [threading.Thread(target=touch, args=order) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attempts) == 3  # one of the two gave way, and did it again
    assert store.verify() == ()
    command.dispose()
    store.dispose()


def test_other_errors_keep_their_words(tmp_path: Path) -> None:
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1))
    with pytest.raises(StorageError, match="refused: no such table: no_table") as refused:
        store._database.write(lambda c: c.execute(text("SELECT * FROM no_table")))
    assert isinstance(refused.value.__cause__, DBAPIError)
    store.dispose()
