"""A process that serves a store and is killed again and again, and robots that work with it.

A nursery, forked before any thread is started, forks the process that serves, kills it when it is
told to, and forks the next one. Robots are threads that repeat a call until it is answered, with
the same key, as the page does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from people.store.rounds import a_round, tasks
from preflab.errors import PreflabError
from preflab_people.judgments import Answer
from preflab_people.store import Receipt, Store

DEADLINE = 120.0
"""Seconds in which a call must be answered, kills and restarts included."""


def serve(place: str, socket: str) -> None:
    """Serve a store until this process is killed: (method, arguments) in, (fault, result) out."""
    store = Store.open(place, serving=True)
    Path(socket).unlink(missing_ok=True)
    with Listener(socket, "AF_UNIX", backlog=64) as listener:
        while True:
            client = listener.accept()
            threading.Thread(target=_answer, args=(store, client), daemon=True).start()


def _answer(store: Store, client: Connection[Any, Any]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            method, arguments, named = client.recv()
            try:
                reply: tuple[str, Any] = ("", getattr(store, method)(*arguments, **named))
            except PreflabError as error:
                reply = (str(error), None)
            client.send(reply)


class Nursery:
    """Forks what serves, and kills it. Made before any thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._reads, self._writes = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self._writes)
            self._run(work)
        os.close(self._reads)

    def _run(self, work: Callable[[], None]) -> None:
        """Every byte is an order: the child that works is killed, and another begins."""
        try:
            child = 0
            while True:
                if child:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                child = os.fork()
                if child == 0:
                    work()
                if not os.read(self._reads, 1):
                    os.kill(child, signal.SIGKILL)
                    break
        finally:
            os._exit(0)

    def kill(self) -> None:
        """Kill what works, by SIGKILL; the next one begins at once."""
        os.write(self._writes, b"k")

    def end(self) -> None:
        """Kill it for the last time."""
        os.close(self._writes)
        os.waitpid(self.process, 0)


@dataclass
class Robot:
    """A person's page: works until there is nothing left."""

    socket: str
    labeler: str
    sent: dict[str, str] = field(default_factory=dict)
    """By key: the task."""
    confirmed: dict[str, Receipt] = field(default_factory=dict)
    error: BaseException | None = None
    _line: Connection[Any, Any] | None = None

    def run(self) -> None:
        try:
            while (given := self._call("next_task", self.labeler, time.time())) is not None:
                self._submit(given.task.id, Answer((1, 2, 3)), given.order)
                if len(self.sent) % 11 == 0:  # a correction, now and then
                    self._submit(given.task.id, Answer((2, 1, 1)), given.order)
        except BaseException as error:
            self.error = error
        finally:
            if self._line is not None:
                self._line.close()

    def _submit(self, task: str, said: Answer, order: Sequence[int]) -> None:
        key = f"{self.labeler}-{len(self.sent)}"
        self.sent[key] = task
        words = (self.labeler, task, said, key, 3.0, tuple(order), 1)
        self.confirmed[key] = self._call("submit", *words, now=time.time())

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The result, however often what serves dies meanwhile."""
        until = time.monotonic() + DEADLINE
        while True:
            try:
                if self._line is None:
                    self._line = Client(self.socket, "AF_UNIX")
                self._line.send((method, arguments, named))
                fault, result = self._line.recv()
            except (EOFError, OSError):
                if self._line is not None:
                    self._line.close()
                self._line = None
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
                continue
            if fault:
                raise AssertionError(f"{method}: {fault}")
            return result


@dataclass(frozen=True)
class Outcome:
    """Of one round of kills."""

    kills: int
    labels: int
    repeated: int
    seconds: float


@contextlib.contextmanager
def _served(place: str) -> Iterator[tuple[Nursery, str]]:
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        socket = str(Path(folder) / "socket")
        nursery = Nursery(lambda: serve(place, socket))
        try:
            yield nursery, socket
        finally:
            nursery.end()


def label_under_kills(place: str, number: int, people: int, kills: int) -> Outcome:
    """Label a round, 20 % of it twice, while what serves it is killed; then see that nothing was
    lost, nothing is there twice, and every task has as many judgments as it wants."""
    double = number // 5
    store, names = a_round(place, tasks(number - double, double), people)
    store.dispose()
    begun = time.monotonic()
    done_kills = 0
    with _served(place) as (nursery, socket):
        robots = [Robot(socket, name) for name in names]
        threads = [threading.Thread(target=robot.run) for robot in robots]
        for thread in threads:
            thread.start()
        wanted = number + double
        while any(thread.is_alive() for thread in threads):
            confirmed = sum(len(robot.confirmed) for robot in robots)
            if done_kills < kills and confirmed >= (done_kills + 0.5) * wanted / kills:
                nursery.kill()
                done_kills += 1
            time.sleep(0.005)
    assert [robot.error for robot in robots if robot.error] == []
    assert done_kills == kills
    _check(place, robots)
    repeated = sum(one.repeated for robot in robots for one in robot.confirmed.values())
    labels = sum(len(robot.confirmed) for robot in robots)
    return Outcome(kills, labels, repeated, time.monotonic() - begun)


def _check(place: str, robots: Sequence[Robot]) -> None:
    with Store.open(place) as store:
        seen = store.snapshot()
        assert store.verify() == ()
    by_number = {event.n: event for event in seen.events}
    for robot in robots:
        assert robot.sent.keys() == robot.confirmed.keys()
        for key, receipt in robot.confirmed.items():  # nothing that was confirmed is lost
            event = by_number[receipt.event]
            said = (event.key, event.task, event.labeler)
            assert said == (key, robot.sent[key], robot.labeler)
    keys = [event.key for event in seen.events if event.kind == "submitted"]
    assert len(keys) == len(set(keys)) == sum(len(robot.sent) for robot in robots)
    pairs = [(judgment.task, judgment.labeler) for judgment in seen.judgments]
    assert len(set(pairs)) == len(pairs)
    given = Counter(task for task, _ in pairs)
    assert given == {task.id: task.want for task in seen.tasks}
