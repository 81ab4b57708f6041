"""The guards of a server: what they cannot check is refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from preflab.records import Prompt
from preflab_builtin.guard.asking import InTime
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.config import PIECE
from preflab_builtin.guard.responder import Guarded
from preflab_builtin.guard.verdicts import Guard, Verdict, failed, strictest
from preflab_people.server.answers import Refused
from preflab_serve.continuing import Call, Steps, continued, on_its_own
from preflab_serve.telling import told

LOG = logging.getLogger("preflab_serve")
SECONDS = 30.0
"""That a guard may take for one call, of which each reads `PIECE` texts at most; and that a request
waits for its turn."""
MOST_WAITING = 256
"""Requests that wait for a guard."""
UNNAMED = "unnamed"
"""Category of what is blocked by a guard that names none: moderations and logs go by categories."""
Responses = Sequence[str] | None
Found = list[Verdict] | None


@dataclass(eq=False)
class _Turn:
    """A request for verdicts. steps: what is asked for them, call after call; call: the next one;
    say: called with the verdicts, or with None if the guard failed; phase: whether the guard is
    reading, else the request waits, and since when (time.monotonic()), in one: two threads use it;
    left: whether nobody waits any more."""

    steps: Steps
    say: Callable[[Found], None]
    call: Call | None = None
    phase: tuple[bool, float] = field(default_factory=lambda: (False, time.monotonic()))
    left: bool = False


class Asker:
    """The one thread that asks guards, one call of each request after the other, so that nobody
    waits for all that another one asks for. It does not keep the process alive. seconds: that a
    call may take; then it is stuck, and until it says something nobody else is let in, so that no
    more than one call is ever left behind."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._turns: queue.SimpleQueue[_Turn] = queue.SimpleQueue()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether a call of a guard has taken longer than it may."""
        began = self._began
        return began is not None and time.monotonic() - began > self.seconds

    def ask(self, turn: _Turn) -> None:
        """Wait for one's turn. Raises Refused if that is pointless."""
        if self.stuck or self._turns.qsize() >= MOST_WAITING:
            raise busy()
        self._turns.put(turn)

    def _run(self) -> None:
        while True:
            turn = self._turns.get()
            if not turn.left:
                self._take(turn)

    def _take(self, turn: _Turn) -> None:
        """The next call of a request; then it waits for its next turn, or has its verdicts."""
        try:
            guard, prompts, responses = turn.call or next(turn.steps)
            self._began = time.monotonic()
            turn.phase = (True, self._began)
            said = guard.check(prompts, responses)
            if len(said) != len(prompts) or any(type(one) is not Verdict for one in said):
                raise TypeError("it did not say a verdict for each text")
            turn.call = turn.steps.send(said)
        except StopIteration as done:
            turn.say(done.value)
            return
        except BaseException as error:
            LOG.error("the guard failed: it refuses: %s", told(error))
            turn.say(None)
            return
        finally:
            self._began = None
        turn.phase = (False, time.monotonic())
        self._turns.put(turn)


def _steps(guard: Guard, prompts: Sequence[Prompt], responses: Responses, goes_on: bool) -> Steps:
    """What a guard is asked for verdicts. Of a chain each one is by itself: that one has something
    against the client's own text excuses no response from the others. goes_on: the responses go on
    in the middle of a text."""
    way = continued if goes_on and responses is not None else on_its_own
    found: list[Verdict] = []
    for start in range(0, len(prompts), PIECE):
        some = prompts[start : start + PIECE]
        texts = responses and responses[start : start + PIECE]
        said = []
        for part in parts_of(guard):
            said.append((yield from way(part, some, texts)))
        found += [named(strictest(row)) for row in zip(*said, strict=True)]
    return found


def busy() -> Refused:
    """The answer to those who would wait for too long."""
    sentence = "The guard is busy, so that nothing can be answered; try again in 5 s."
    return Refused(503, "guard_busy", sentence, wait=5)


def named(verdict: Verdict) -> Verdict:
    """With a category, if it allows something not."""
    return verdict if verdict.category or verdict.allowed else replace(verdict, category=UNNAMED)


def as_both(texts: Sequence[str]) -> tuple[tuple[list[Prompt], Responses], ...]:
    """What a guard is asked about texts of which nobody says whether they are prompts or responses:
    each as a prompt, and as a response to nothing."""
    nothing = [Prompt("", "") for _ in texts]
    return ([Prompt("", text) for text in texts], None), (nothing, list(texts))


def silent() -> Refused:
    """The answer where a guard says nothing."""
    return Refused(503, "guard_failed", "The guard cannot say anything now.", 5)


def parts_of(guard: Guard) -> Sequence[Guard]:
    """The guards of a chain, and of chains in it, each of which says its own; any other guard
    alone."""
    if not isinstance(guard, Chain):
        return (guard,)
    return [part for one in guard.guards for part in parts_of(one)]


@dataclass(frozen=True, eq=False)
class Checking:
    """A guard, asked in a thread of its own. refusal: what is answered in the place of what may not
    be shown; resamples: other responses that are tried before."""

    guard: Guard
    refusal: str
    resamples: int
    seconds: float = SECONDS
    asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asker", Asker(self.seconds))

    async def check(
        self, prompts: Sequence[Prompt], responses: Responses, goes_on: bool = False
    ) -> list[Verdict]:
        """A verdict each. A guard that raises, says something else than a verdict each, or takes
        too long refuses all of them (`failed`). Raises Refused as long as it is stuck, and if one's
        turn does not come. goes_on: the responses go on in the middle of a text."""
        if not prompts:
            return []
        found = await self._asked(self.guard, prompts, responses, goes_on)
        return found if found is not None else [failed() for _ in prompts]

    async def moderated(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """What each guard of a chain says of each text, be it a prompt or a response. Raises
        Refused if one of them says nothing."""
        rows: list[list[Verdict]] = [[] for _ in texts]
        for guard in parts_of(self.guard):
            for asked in as_both(texts):
                found = await self._asked(guard, *asked, goes_on=False)
                if found is None:
                    raise silent()
                for row, verdict in zip(rows, found, strict=True):
                    row.append(verdict)
        return rows

    async def _asked(
        self, guard: Guard, prompts: Sequence[Prompt], responses: Responses, goes_on: bool
    ) -> Found:
        """Its verdicts; None if it failed. Raises Refused as long as it is stuck, and if it takes
        too long until it has time: that is no fault of the texts."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def tell(found: Found) -> None:
            if not answer.done():
                answer.set_result(found)

        def say(found: Found) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(tell, found)

        turn = _Turn(_steps(guard, prompts, responses, goes_on), say)
        self.asker.ask(turn)
        try:
            while True:
                phase = reading, since = turn.phase
                left = since + self.seconds - time.monotonic()
                if (await asyncio.wait([answer], timeout=max(0.0, left)))[0]:
                    return answer.result()
                if turn.phase != phase:
                    continue
                if not reading:
                    raise busy()
                LOG.error("the guard took more than %g s: it refuses", self.seconds)
                return None
        finally:
            turn.left = True


def behind(answers: Guarded) -> Checking:
    """The guard of a run, asked as the server's: it has the time that its run gives it."""
    guard = answers.guard
    if isinstance(guard, InTime):
        return Checking(guard.guard, answers.refusal, answers.resamples, guard.seconds)
    return Checking(guard, answers.refusal, answers.resamples)
