"""The one thread that asks models: responses of many requests are decoded together, a token at a
time, and what nobody waits for any more is dropped before the next token."""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from preflab.interfaces import StreamsRows
from preflab_serve.growing import Growing

if TYPE_CHECKING:
    from preflab.interfaces import AskedRow, RowStream
    from preflab_serve.arms import Arm

T = TypeVar("T")


@dataclass
class Wanted:
    """A response that a request waits for.

    changed: called in the worker's thread after each token; gone: whether nobody waits any more;
    failed: called with what went wrong.
    """

    arm: Arm
    row: AskedRow
    temperature: float
    growing: Growing
    changed: Callable[[], None]
    gone: Callable[[], bool]
    failed: Callable[[BaseException], None]


@dataclass
class _Together:
    """Responses that are decoded together."""

    stream: RowStream
    wanted: list[Wanted]

    def step(self) -> bool:
        """The next token of each; False once there is none."""
        self.stream.drop([i for i, one in enumerate(self.wanted) if one.gone()])
        found = self.stream.step()
        for i, token in found:
            self.wanted[i].growing.computed += 1
            self.wanted[i].growing.feed(token)
        # Before anybody hears of it: a guard may want another response in its place at once.
        self.stream.drop([i for i, _ in found if self.wanted[i].growing.finish])
        for i, _ in found:
            self.wanted[i].changed()
        return bool(found)


class Worker:
    """most_rows: responses that are decoded in one batch; most_active: in all batches, the others
    wait; gather: seconds to wait for more requests before a batch is begun on an idle server."""

    def __init__(self, most_rows: int = 64, most_active: int = 256, gather: float = 0.005) -> None:
        self.most_rows, self.most_active, self.gather = most_rows, most_active, gather
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: collections.deque[Wanted] = collections.deque()
        self._active: list[_Together] = []
        self._called = 0
        """Responses of calls that have not ended, of those that nobody has taken yet, and of those
        whose prompts are being read."""
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    @property
    def load(self) -> int:
        """Responses that wait or grow, those of calls included."""
        return self._called + len(self._waiting) + sum(len(batch.wanted) for batch in self._active)

    def call(self, function: Callable[[], T], rows: int = 1) -> Future[T]:
        """Call a function between two tokens; a future that was cancelled before is left out. rows:
        responses that it is for."""
        future: Future[T] = Future()

        def called() -> None:
            if not future.set_running_or_notify_cancel():
                self._count(-rows)
                return
            try:
                result = function()
            except BaseException as error:
                self._count(-rows)  # before anybody hears of it
                future.set_exception(error)
            else:
                self._count(-rows)
                future.set_result(result)

        self._count(rows)
        self._calls.put(called)
        return future

    def grow(self, wanted: Iterable[Wanted]) -> None:
        """Sample responses, with the engine of their run."""
        rows = list(wanted)

        def taken() -> None:
            self._waiting.extend(rows)
            self._count(-len(rows))

        self._count(len(rows))
        self._calls.put(taken)

    def _count(self, rows: int) -> None:
        with self._lock:
            self._called += rows

    def close(self, seconds: float = 30.0) -> None:
        """End once the current token is done; wait for that so long at most."""
        self._ended = True
        self._calls.put(None)
        self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while not self._ended:
            self._take(idle=not self._active and not self._waiting)
            self._begin()
            self._active = [batch for batch in self._active if self._step(batch)]

    def _take(self, idle: bool) -> None:
        """Carry out what was called for; an idle thread waits for it."""
        if idle:
            if (call := self._calls.get()) is None:
                return
            call()
            if self._waiting:
                time.sleep(self.gather)  # requests that come together are decoded together
        while not self._calls.empty():
            if (call := self._calls.get()) is not None:
                call()

    def _begin(self) -> None:
        """Begin batches of the responses that wait, as far as there is room."""
        room = self.most_active - sum(len(batch.wanted) for batch in self._active)
        groups: dict[Any, list[Wanted]] = {}
        while self._waiting and room > 0:
            wanted = self._waiting.popleft()
            if not wanted.gone():
                groups.setdefault((wanted.arm.name, wanted.temperature), []).append(wanted)
                self._count(1)  # while its prompt is read, it neither waits nor grows
                room -= 1
        for group in groups.values():
            for start in range(0, len(group), self.most_rows):
                part = group[start : start + self.most_rows]
                with _telling(part):
                    self._active.append(_begun(part))
                self._count(-len(part))

    def _step(self, batch: _Together) -> bool:
        with _telling(batch.wanted):
            return batch.step()
        return False


class _telling:
    """Within it an error is told to the requests that wait, and the thread goes on."""

    def __init__(self, wanted: list[Wanted]) -> None:
        self.wanted = wanted

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            for one in self.wanted:
                one.failed(error)
        return error is not None


def _begun(wanted: list[Wanted]) -> _Together:
    """The batch of responses of one arm at one temperature."""
    arm = wanted[0].arm
    engine, policy = arm.engine, arm.policy
    assert isinstance(engine, StreamsRows)
    rows = [one.row for one in wanted]
    for one in wanted:
        one.growing.computed += len(one.row.prompt)
    return _Together(engine.stream_rows(policy, rows, wanted[0].temperature), wanted)
