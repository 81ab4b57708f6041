"""The one file that says who people are."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from people.postgresql import Cluster
from people.store.rounds import a_round, tasks
from preflab.errors import StorageError, UserError
from preflab_people.store.names import Names


def test_names_are_for_their_owner_alone_and_nowhere_else(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1), people=1)
        assert not (tmp_path / "people.json").exists()  # only if names are given
        made = store.invite("nurses", about={"name": "Ada Example"}, now=1.0)
    finally:
        os.umask(old)
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
        if path.name != "people.json":
            assert b"Ada Example" not in path.read_bytes()
    assert json.loads((tmp_path / "people.json").read_text()) == {
        made.labeler: {"name": "Ada Example"}
    }
    store.dispose()


def test_what_is_known_grows_and_goes(tmp_path: Path) -> None:
    names = Names(tmp_path / "people.json")
    names.forget("labeler-a")
    assert names.read() == {}
    names.add({"labeler-a": {"name": "Ada"}})
    names.add({"labeler-b": {"name": "Bob"}})
    names.add({"labeler-a": {"address": "ada@example.com"}})
    assert names.read()["labeler-a"] == {"name": "Ada", "address": "ada@example.com"}
    names.forget("labeler-a")
    assert names.read() == {"labeler-b": {"name": "Bob"}}
    names.path.write_text("{")
    with pytest.raises(StorageError, match=r"people\.json is no JSON"):
        names.read()


def test_a_database_needs_a_file_for_names(cluster: Cluster, tmp_path: Path) -> None:
    store, _ = a_round(cluster.database(), tasks(single=1))
    with pytest.raises(UserError, match="in which file names belong"):
        store.invite(about={"name": "Ada"}, now=1.0)
    assert store.people() == ()
    store.dispose()


def test_two_who_name_people_at_once_lose_nobody(tmp_path: Path) -> None:
    """Each name is read, added to and written by itself: without a lock one of two is lost."""
    path = tmp_path / "people.json"

    def invite(who: int) -> None:
        for number in range(10):
            Names(path).add({f"labeler-{who}-{number}": {"to": "x"}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(invite, range(4)))
    assert len(Names(path).read()) == 40
