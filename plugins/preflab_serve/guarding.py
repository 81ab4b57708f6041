"""The guard of a server: what it cannot check is refused."""

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
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.config import PIECE
from preflab_builtin.guard.verdicts import Guard, Verdict, failed
from preflab_people.server.answers import Refused
from preflab_serve.continuing import Continued
from preflab_serve.telling import told

LOG = logging.getLogger("preflab_serve")
SECONDS = 30.0
"""That a guard may take for one request, its turn in the queue included."""
CALLS = 5
"""Most calls of a guard for one piece of responses that go on (`Continued`): each has its time."""
MOST_WAITING = 256
"""Requests that wait for a guard."""
UNNAMED = "unnamed"
"""Category of what is blocked by a guard that names none: moderations and logs go by categories."""
Responses = Sequence[str] | None
Found = list[Verdict] | None


@dataclass(frozen=True)
class _Turn:
    """A request for verdicts. until: time.monotonic() at which nobody waits for them any more; say:
    called with the verdicts, or with None if the guard failed."""

    guard: Guard
    prompts: Sequence[Prompt]
    responses: Responses
    until: float
    say: Callable[[Found], None]


class Asker:
    """The one thread that asks guards, one request after the other. It does not keep the process
    alive. seconds: that a guard may take for a piece; then it is stuck, and until it says something
    nobody else is let in, so that no more than one of its calls is ever left behind."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._turns: queue.Queue[_Turn] = queue.Queue(MOST_WAITING)
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._thread.start()

    def began(self) -> None:
        """A call of a guard begins now."""
        self._began = time.monotonic()

    @property
    def stuck(self) -> bool:
        """Whether a call of a guard has taken longer than it may."""
        began = self._began
        return began is not None and time.monotonic() - began > self.seconds

    def ask(self, turn: _Turn) -> None:
        """Wait for one's turn. Raises Refused if that is pointless."""
        try:
            if self.stuck:
                raise queue.Full
            self._turns.put_nowait(turn)
        except queue.Full:
            sentence = "The guard is busy, so that nothing can be answered; try again in 5 s."
            raise Refused(503, "guard_busy", sentence, wait=5) from None

    def _run(self) -> None:
        while True:
            turn = self._turns.get()
            turn.say(self._verdicts(turn))

    def _verdicts(self, turn: _Turn) -> Found:
        """None if it fails, or if nobody waits any more."""
        found: list[Verdict] = []
        for start in range(0, len(turn.prompts), PIECE):
            if time.monotonic() > turn.until:
                return None
            prompts = turn.prompts[start : start + PIECE]
            responses = turn.responses and turn.responses[start : start + PIECE]
            self.began()
            try:
                said = turn.guard.check(prompts, responses)
                if len(said) != len(prompts) or any(type(v) is not Verdict for v in said):
                    raise TypeError("it did not say a verdict for each text")
            except BaseException as error:
                LOG.error("the guard failed: it refuses: %s", told(error))
                return None
            finally:
                self._began = None
            found += map(named, said)
        return found


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
    """The guards of a chain, each of which says its own; any other guard alone."""
    return guard.guards if isinstance(guard, Chain) else (guard,)


def own_verdicts(guard: Guard, texts: Sequence[str]) -> list[list[Verdict]]:
    """What each guard of a run's chain says of each text, be it a prompt or a response. Raises
    Refused if one of them says nothing."""
    try:
        found = [one.check(*asked) for one in parts_of(guard) for asked in as_both(texts)]
        return [[*map(named, said)] for said in zip(*found, strict=True)]
    except Exception as error:
        LOG.error("the guard failed: it refuses: %s", told(error))
        raise silent() from error


@dataclass(frozen=True)
class _Each:
    """`preflab_builtin.guard.verdicts.Guard`: another one, each of whose calls is timed."""

    guard: Guard
    began: Callable[[], None]

    def check(self, prompts: Sequence[Prompt], responses: Responses) -> list[Verdict]:
        """What it says."""
        self.began()
        return self.guard.check(prompts, responses)


@dataclass(frozen=True)
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

    async def check(self, prompts: Sequence[Prompt], responses: Responses) -> list[Verdict]:
        """A verdict each. A guard that raises, says something else than a verdict each, or takes
        too long refuses all of them (`failed`). Raises Refused as long as it is stuck."""
        return await self._checked(self.guard, prompts, responses)

    async def check_continued(
        self, prompts: Sequence[Prompt], responses: Sequence[str]
    ) -> list[Verdict]:
        """The same of responses that go on in the middle of a text (`Continued`). Each of the calls
        that this needs has its own time."""
        each = Continued(_Each(self.guard, self.asker.began))
        return await self._checked(each, prompts, responses, CALLS)

    async def moderated(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """What each guard of a chain says of each text, be it a prompt or a response. Raises
        Refused if one of them says nothing."""
        rows: list[list[Verdict]] = [[] for _ in texts]
        for guard in parts_of(self.guard):
            for asked in as_both(texts):
                found = await self._asked(guard, *asked)
                if found is None:
                    raise silent()
                for row, verdict in zip(rows, found, strict=True):
                    row.append(verdict)
        return rows

    async def _checked(
        self, guard: Guard, prompts: Sequence[Prompt], responses: Responses, calls: int = 1
    ) -> list[Verdict]:
        if not prompts:
            return []
        found = await self._asked(guard, prompts, responses, calls)
        return found if found is not None else [failed() for _ in prompts]

    async def _asked(
        self, guard: Guard, prompts: Sequence[Prompt], responses: Responses, calls: int = 1
    ) -> Found:
        """Its verdicts; None if it failed. Raises Refused as long as it is stuck. calls: of the
        guard, of which each has its time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def tell(found: Found) -> None:
            if not answer.done():
                answer.set_result(found)

        def say(found: Found) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(tell, found)

        seconds = calls * self.seconds
        until = time.monotonic() + seconds
        self.asker.ask(_Turn(guard, prompts, responses, until, say))
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            LOG.error("the guard took more than %g s: it refuses", seconds)
            return None
