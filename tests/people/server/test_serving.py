"""Tests of the server as a process: where it listens, how it ends, and that nothing is lost when
it is killed."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from people.server.processes import Robot, Serving
from people.server.sites import SECRET, ranking, three
from people.store.kills import Nursery
from preflab.errors import UserError
from preflab_people.judgments import Task
from preflab_people.server.listening import listen, port_of
from preflab_people.server.serving import base_url, link, serve
from preflab_people.server.settings import ServerSettings
from preflab_people.store import RoundSettings, Store, schema


def _round(place: str, tasks: list[Task]) -> Store:
    settings = RoundSettings("spring", "rank", gold_share=0.0, retest_share=0.0)
    return Store.create(place, settings, tasks, now=0.0)


def test_addresses_and_links() -> None:
    local, public = ServerSettings(SECRET), ServerSettings(SECRET, "https://label.example.org/")
    named = ServerSettings(SECRET, hosts=("lab.local",))
    assert base_url(local, port=80) == "http://127.0.0.1:80"
    assert base_url(local, "::1", 80) == "http://[::1]:80"
    assert base_url(public, "0.0.0.0", 80) == "https://label.example.org"
    assert base_url(named, "0.0.0.0", 80) == "http://lab.local:80"
    assert base_url(named, "127.0.0.1", 80) == "http://127.0.0.1:80"
    assert link("http://a", "t-_k") == "http://a/#t-_k"


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = port_of(taken)
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}: .*Choose another port"):
            listen("127.0.0.1", port)


def test_it_is_open_to_others_only_by_name_and_for_people_with_tokens(tmp_path: Path) -> None:
    with _round(str(tmp_path / "store.sqlite"), three(1)) as store:
        with pytest.raises(UserError, match="by which name browsers may call it"):
            serve(store, ServerSettings(SECRET), host="0.0.0.0", port=0)
        named = ServerSettings(SECRET, hosts=("lab.local",))
        with pytest.raises(UserError, match="nobody has been invited"):
            serve(store, named, host="0.0.0.0", port=0)
        store.invite(now=0.0)
        said: list[str] = []
        with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(UserError, match="port"):
            serve(store, named, "0.0.0.0", int(taken.getsockname()[1]), said.append)
        assert "speaks no TLS" in said[0]


def test_it_ends_cleanly_and_lets_no_second_one_in(tmp_path: Path) -> None:
    _round(str(tmp_path / "store.sqlite"), three(1)).dispose()
    with Serving(tmp_path / "store.sqlite") as server:
        with pytest.raises(UserError, match="Another process serves"):
            Store.open(tmp_path / "store.sqlite", serving=True)
        assert server.stop() == 0
    with Store.open(tmp_path / "store.sqlite", serving=True):
        pass
    assert (tmp_path / "server.log").read_text() == ""


def _by_length(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """What every robot says: ties included, from the texts alone."""
    return {"ranks": [1 + len(text) % 3 for text in task["outputs"]]}


def _free_port() -> int:
    with listen("127.0.0.1", 0) as socket:
        return port_of(socket)


def _serve(place: str, port: int) -> None:
    """Serve a store over HTTP until this process is killed."""
    with Store.open(place, serving=True) as store:
        settings = ServerSettings(SECRET, submissions=1_000_000)
        serve(store, settings, port=port, announce=lambda text: None)


def killed_while_people_work(place: str, count: int, people: int, kills: int) -> None:
    """Kill the server again and again while people work; every fifth task wants two judgments, and
    every eleventh answer is corrected. Nothing is lost, nothing is there twice, nothing is judged
    too often."""
    tasks = [
        ranking(f"p{n}", [f"{n}", f"{n} b", f"{n} cc"], want=2 if n % 5 == 0 else 1)
        for n in range(count)
    ]
    wanted, begun, done_kills = sum(task.want for task in tasks), time.monotonic(), 0
    port = _free_port()
    made = _round(place, tasks)
    tokens = [made.invite(now=0.0).token for _ in range(people)]
    made.dispose()
    nursery = Nursery(lambda: _serve(place, port))  # before any thread
    try:
        robots = [Robot(port, token, patience=120) for token in tokens]
        working = [threading.Thread(target=_label, args=(robot,)) for robot in robots]
        for thread in working:
            thread.start()
        while any(thread.is_alive() for thread in working):
            confirmed = sum(len(robot.acknowledged) for robot in robots)
            if done_kills < kills and confirmed >= (done_kills + 0.5) * wanted / kills:
                nursery.kill()
                done_kills += 1
            time.sleep(0.005)
    finally:
        nursery.end()
    assert done_kills == kills
    with Store.open(place) as store:
        _check(store, robots, tasks)
    tries, seconds = sum(robot.tries for robot in robots), time.monotonic() - begun
    print(f"{kills} kills, {wanted} judgments, {tries} calls again, {seconds:.0f} s")


def _label(robot: Robot) -> None:
    """Work until there is nothing left; now and then say something else first."""

    def answering(task: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(robot.acknowledged) % 11 == 10:
            version = {"instructions": {"version": 1}}
            robot.submit({"task": task, **version}, {"ranks": [1] * len(task["outputs"])})
        return _by_length(task)

    robot.work(answering)


def _check(store: Store, robots: list[Robot], tasks: list[Task]) -> None:
    acknowledged = [key for robot in robots for key in robot.acknowledged]
    with store._database.reading() as connection:
        known = Counter(
            connection.scalars(select(schema.events.c.key).where(schema.events.c.key.is_not(None)))
        )
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) == set(known), "lost, or never confirmed"
    assert set(known.values()) == {1}
    snapshot = store.snapshot()
    judged = Counter(judgment.task for judgment in snapshot.judgments)
    assert judged == {task.id: task.want for task in tasks}
    pairs = {(judgment.task, judgment.labeler) for judgment in snapshot.judgments}
    assert len(pairs) == sum(judged.values())
    by_id = {task.id: task for task in tasks}
    for judgment in snapshot.judgments:
        texts = by_id[judgment.task].responses
        assert judgment.answer.ranks == tuple(1 + len(text) % 3 for text in texts)
    assert store.verify() == ()  # the chain is whole, and every counter follows from the events


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed(place: str) -> None:
    killed_while_people_work(place, count=200, people=16, kills=5)


@pytest.mark.label
def test_nothing_is_lost_in_many_kills(place: str) -> None:
    killed_while_people_work(place, count=3000, people=16, kills=50)
