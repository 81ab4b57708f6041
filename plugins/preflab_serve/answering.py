"""A request while it is answered: its responses, what they have cost, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflab_builtin.guard.verdicts import Verdict
from preflab_people.server.answers import Refused
from preflab_serve.growing import Growing
from preflab_serve.metering import Left
from preflab_serve.telling import told

if TYPE_CHECKING:
    from preflab_serve.arms import Arm
    from preflab_serve.guarding import Checking
    from preflab_serve.server.asked import Asked

LOG = logging.getLogger("preflab_serve")


class Answering:
    """The responses to one request. Everything but `changed` and `failed` is called in the server's
    loop."""

    def __init__(self, arm: Arm, asked: Asked, seed: int) -> None:
        self.arm, self.asked, self.seed = arm, asked, seed
        self.rows: list[Growing] = []
        self.checkings: tuple[Checking, ...] = ()
        """Guards that have to let each response be shown."""
        self.verdicts: list[tuple[str, Verdict]] = []
        """What a guard had something against: prompt or response."""
        self.needed = 0
        """Tokens that the model may have to compute, at most."""
        self.gone = False
        self.error: BaseException | None = None
        self._computed = 0
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, each once."""
        return sum(len(row.prompt_ids) for row in self.rows[:: self.asked.n])

    @property
    def tokens(self) -> int:
        """Tokens that were sampled and are kept."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def computed(self) -> int:
        """Tokens that the model read and gave so far, also for what nobody was shown."""
        return self._computed + sum(row.computed for row in self.rows)

    def compute(self, tokens: int) -> None:
        """Count tokens that are about to be computed. Raises Left if nobody waits for them. Called
        in the worker's thread."""
        if self.gone:
            raise Left
        self._computed += tokens

    def note(self, stage: str, verdicts: Sequence[Verdict]) -> None:
        """Remember what a guard had something against."""
        self.verdicts += [(stage, verdict) for verdict in verdicts if not verdict.allowed]

    def changed(self) -> None:
        """Something has grown; called by any thread, also once the server has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    def failed(self, error: BaseException) -> None:
        """It cannot be answered; called by any thread."""
        self.error = error
        self.changed()

    def leave(self) -> None:
        """Nobody waits any more."""
        self.gone = True
        self._event.set()

    async def change(self) -> None:
        """Wait until something has grown. Raises what went wrong, and `Refused` if nobody waits."""
        await self._event.wait()
        self._event.clear()
        if self.gone:
            raise gone()
        if self.error is not None:
            raise refusal(self.error) from self.error

    async def whole(self) -> None:
        """Wait until all responses have ended."""
        while not all(row.finish for row in self.rows):
            await self.change()


def gone() -> Refused:
    """The client has hung up: nobody reads this."""
    return Refused(499, "gone", "The client has gone.")


def refusal(error: BaseException) -> Refused:
    """An error as an answer. The server's log says its type and place: its words may hold texts."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Left):
        return gone()
    LOG.error("a request failed: %s", told(error))
    return Refused(500, "server", "The server has an error of its own; its log says which.")
