"""A copy while people work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from people.postgresql import Cluster
from people.store.rounds import a_round, tasks, work
from preflab.errors import StorageError, UserError
from preflab_people.store import Store


def test_a_backup_is_of_one_moment_while_people_work(tmp_path: Path) -> None:
    store, people = a_round(tmp_path / "store.sqlite", tasks(single=10, double=5), people=3)
    working = threading.Thread(target=work, args=(store, people))
    working.start()
    copies: list[Path] = []
    while working.is_alive() or not copies:
        copies.append(tmp_path / f"backup-{len(copies)}.sqlite")
        store.backup(copies[-1])
    working.join()
    events = store.snapshot().events
    for path in copies:
        assert path.stat().st_mode & 0o777 == 0o600
        with Store.open(path) as copy:
            assert copy.verify() == ()
            seen = copy.snapshot().events
            assert seen == events[: len(seen)]
            work(copy, people, 1000.0)  # it is a store like any other
            assert copy.progress().open == 0
    store.dispose()
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_backup_is_one_file_and_never_written_over(tmp_path: Path) -> None:
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1), people=1)
    folder = tmp_path / "backups"
    folder.mkdir()
    store.backup(folder / "one.sqlite")
    assert [path.name for path in folder.iterdir()] == ["one.sqlite"]
    with pytest.raises(UserError, match="is there already"):
        store.backup(folder / "one.sqlite")
    store.dispose()


def test_a_damaged_store_gives_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store, people = a_round(path, tasks(single=200), people=1)
    work(store, people, rounds=30)
    store.dispose()
    data = bytearray(path.read_bytes())
    for start in range(5 * 4096, len(data), 4096):
        data[start : start + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"damaged|failed|malformed"), Store.open(path) as broken:
        broken.backup(tmp_path / "backup.sqlite")
    assert not (tmp_path / "backup.sqlite").exists()
    assert not list(tmp_path.glob(".*.tmp"))


def test_postgresql_has_its_own_tool(cluster: Cluster, tmp_path: Path) -> None:
    store, _ = a_round(cluster.database(), tasks(single=1))
    with pytest.raises(UserError, match=r"pg_dump --format=custom --file=.*x\.dump postgresql://"):
        store.backup(tmp_path / "x.dump")
    store.dispose()
