"""The guard of a server: what it cannot check is refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preflab.records import Prompt
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.verdicts import Guard, Verdict, failed
from preflab_people.server.answers import Refused

LOG = logging.getLogger("preflab_serve")
SECONDS = 30.0
"""That a guard may take for one request, its turn in the queue included."""
UNNAMED = "unnamed"
"""Category of what is blocked by a guard that names none: moderations and logs go by categories."""


@dataclass(frozen=True)
class Checking:
    """A guard, asked one request at a time in a thread of its own. refusal: what is answered in the
    place of what may not be shown; resamples: other responses that are tried before."""

    guard: Guard
    refusal: str
    resamples: int
    seconds: float = SECONDS
    _turn: threading.Lock = field(default_factory=threading.Lock)

    async def check(
        self, prompts: Sequence[Prompt], responses: Sequence[str] | None
    ) -> list[Verdict]:
        """A verdict each. A guard that raises, says something else than a verdict each, or takes
        too long refuses all of them (`failed`)."""
        if not prompts:
            return []
        found = await self._asked(self.guard, prompts, responses)
        return found if found is not None else [failed() for _ in prompts]

    async def moderated(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """What each guard of a chain says of each text, be it a prompt or a response. Raises
        Refused if one of them says nothing."""
        guards = self.guard.guards if isinstance(self.guard, Chain) else (self.guard,)
        prompts, nothing = [Prompt("", text) for text in texts], [Prompt("", "") for _ in texts]
        rows: list[list[Verdict]] = [[] for _ in texts]
        for guard in guards:
            for asked in ((prompts, None), (nothing, list(texts))):
                found = await self._asked(guard, *asked)
                if found is None:
                    raise Refused(503, "guard_failed", "The guard cannot say anything now.", 5)
                for row, verdict in zip(rows, found, strict=True):
                    row.append(verdict)
        return rows

    async def _asked(
        self, guard: Guard, prompts: Sequence[Prompt], responses: Sequence[str] | None
    ) -> list[Verdict] | None:
        """Its verdicts; None if it failed."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Verdict] | None] = loop.create_future()

        def say(found: list[Verdict] | None) -> None:
            if not answer.done():
                answer.set_result(found)

        def ask() -> None:
            found: list[Verdict] | None = None
            if self._turn.acquire(timeout=self.seconds):
                try:
                    said = guard.check(prompts, responses)
                    if len(said) == len(prompts) and all(type(v) is Verdict for v in said):
                        found = [
                            v if v.category or v.allowed else replace(v, category=UNNAMED)
                            for v in said
                        ]
                except BaseException:
                    LOG.exception("the guard failed: it refuses")
                finally:
                    self._turn.release()
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(say, found)

        # A thread a request, which does not keep the process alive: one that hangs is left behind.
        threading.Thread(target=ask, daemon=True).start()
        try:
            return await asyncio.wait_for(answer, self.seconds)
        except TimeoutError:
            LOG.error("the guard took more than %g s: it refuses", self.seconds)
            return None
