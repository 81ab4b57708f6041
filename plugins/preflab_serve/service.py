"""From what a client asks for to responses that grow: prompts are read, checked and sampled."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from preflab.errors import nearest
from preflab.interfaces import AskedRow, StreamsRows
from preflab_builtin.guard.config import Action
from preflab_builtin.guard.verdicts import Verdict
from preflab_people.server.answers import Refused
from preflab_serve.answering import Answering, refusal
from preflab_serve.arms import Arm
from preflab_serve.at_once import at_once
from preflab_serve.growing import Growing
from preflab_serve.guarding import Checking
from preflab_serve.preparing import prepare
from preflab_serve.usage.limits import Limits
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Wanted, Worker

if TYPE_CHECKING:
    from preflab_serve.server.asked import Asked

T = TypeVar("T")
GUARD = "preflab-guard"
"""Name of the guard in front of all models, in requests to /v1/moderations and their answers."""
MOST_LOAD = 4096
"""Responses that may wait at a time."""


@dataclass(frozen=True)
class Service:
    """The arms by name, and what asks them. checking: the guard in front of all of them."""

    arms: Mapping[str, Arm]
    worker: Worker
    checking: Checking | None = None
    limits: Limits = field(default_factory=Limits)
    log: UsageLog | None = None
    open: set[Answering] = field(default_factory=set)
    """What is being answered."""

    def guarded(self, arm: Arm) -> bool:
        """Whether what an arm answers is checked before it is shown."""
        return self.checking is not None or arm.guarded

    @property
    def stuck(self) -> bool:
        """Whether a guard hangs."""
        front = self.checking is not None and self.checking.asker.stuck
        return front or any(arm.stuck for arm in self.arms.values())

    def arm(self, name: str) -> Arm:
        """The arm of a model's name. Raises Refused."""
        if name not in self.arms:
            known = nearest(name, [*self.arms])
            raise Refused(
                404, "model_not_found", f"There is no model '{name}'. {known}", 0, "model"
            )
        return self.arms[name]

    async def moderated(self, name: str, texts: Sequence[str]) -> tuple[str, list[list[Verdict]]]:
        """What the guards in front of a model say of each text, and the name of that model. Without
        one it is the guard in front of all models (`GUARD`), else the only one that there is.
        Raises Refused."""
        guarded_arms = [one for one, arm in self.arms.items() if arm.guarded]
        if not name and self.checking is None and len(guarded_arms) == 1:
            (name,) = guarded_arms
        arm = None if name in ("", GUARD) else self.arm(name)
        own = arm if arm is not None and arm.guarded else None
        if self.checking is None and own is None:
            of = f" of '{name}'" if arm is not None else ""
            sentence = (
                f"There is no guard{of}: preflab serve RUN --guard FILE has one in front of every "
                "model, and a run behind a guard of its own has that one: name it in 'model'."
            )
            raise Refused(404, "no_guard", sentence, field="model")
        checkings = [self.checking] if self.checking is not None else []
        if own is not None:
            found = await self._called(lambda: own.checking, 0)
            checkings += [found] if found is not None else []
        rows: list[list[Verdict]] = [[] for _ in texts]
        for checking in checkings:
            said = await checking.moderated(texts)
            rows = [[*row, *more] for row, more in zip(rows, said, strict=True)]
        return name or GUARD, rows

    async def begin(self, asked: Asked) -> Answering:
        """Check a request and begin to answer it. Raises Refused."""
        arm = self.arm(asked.model)
        self._admit(asked.responses)
        answering = Answering(
            arm, asked, secrets.randbelow(2**53) if asked.seed is None else asked.seed
        )
        self.open.add(answering)
        try:
            await self.called(answering, lambda: prepare(answering, self.checking))
        except BaseException:
            self.leave(answering)
            raise
        return answering

    def _admit(self, rows: int) -> None:
        """Raises Refused while too many wait."""
        if self.worker.load + rows > MOST_LOAD:
            raise Refused(503, "busy", "Too many requests wait; try again in 5 s.", wait=5)

    async def called(self, answering: Answering, function: Callable[[], T]) -> T:
        """What a function gives in the worker's thread. Raises Refused if it fails."""
        return await self._called(function, answering.asked.responses)

    async def _called(self, function: Callable[[], T], rows: int) -> T:
        try:
            return await asyncio.wrap_future(self.worker.call(function, rows))
        except Exception as error:
            raise refusal(error) from error

    def leave(self, answering: Answering) -> None:
        """Nobody waits for it any more."""
        answering.leave()
        self.open.discard(answering)

    def end(self) -> None:
        """The server ends: everybody who waits is told so."""
        for answering in self.open:
            answering.failed(Refused(503, "ending", "The server ends.", wait=5))

    def sample(
        self, answering: Answering, rows: Sequence[Growing], draw: tuple[int | str, ...]
    ) -> None:
        """Begin to sample some of the responses. draw: names the noise, beside the seed."""
        arm, asked = answering.arm, answering.asked
        seed = (answering.seed, "sample", *draw)
        engine = arm.engine
        if asked.max_tokens == 0:
            for row in rows:
                row.state = ("", "length")
            answering.changed()
        elif arm.own_way or not isinstance(engine, StreamsRows):
            # All of them, also those that are blocked: the noise of each follows its place.
            together = rows if draw else answering.rows
            future = self.worker.call(lambda: at_once(answering, together, seed), len(together))
            future.add_done_callback(
                lambda done: (
                    answering.failed(error) if (error := done.exception()) else answering.changed()
                )
            )
        else:
            usual = engine.sampling.temperature
            warmth = usual if asked.temperature is None else asked.temperature
            self.worker.grow(
                Wanted(
                    arm,
                    AskedRow(row.prompt_ids, row.most, seed, 0 if draw else row.number),
                    warmth,
                    row,
                    answering.changed,
                    lambda: answering.gone,
                    answering.failed,
                )
                for row in rows
            )

    async def whole(self, answering: Answering) -> None:
        """All responses, as far as guards let them be shown: prompts are checked before anything is
        sampled, and responses before a byte of them leaves. Raises Refused."""
        rows = await self._allowed(answering)
        tried = 0
        while rows:
            self._sample_anew(answering, rows, tried)
            await answering.whole()
            rows, tried = await self._checked(answering, rows, tried), tried + 1

    def _sample_anew(self, answering: Answering, rows: Sequence[Growing], tried: int) -> None:
        """Begin to sample these rows. tried: responses in the place of each before."""
        if not tried:
            self.sample(answering, rows, ())
            return
        for row in rows:
            row.begin_anew()
        for row in rows:
            self.sample(answering, [row], ("guard", row.number, tried - 1))

    async def _allowed(self, answering: Answering) -> list[Growing]:
        """The rows whose prompts guards let be answered; the others are refused."""
        rows, each = list(answering.rows), answering.asked.n
        for checking in answering.checkings:
            prompts = {row.number // each: row.prompt for row in rows}
            verdicts = await checking.check([*prompts.values()], None)
            answering.note("prompt", verdicts)
            shown = {i: one.shown for i, one in zip(prompts, verdicts, strict=True)}
            for row in rows:
                if not shown[row.number // each]:
                    row.replace(checking.refusal)
            rows = [row for row in rows if not row.finish]
        return rows

    async def _checked(
        self, answering: Answering, rows: Sequence[Growing], tried: int
    ) -> list[Growing]:
        """The rows that are to be sampled again; any other may be shown, or is refused. tried:
        responses in the place of each before."""
        goes_on, again = not answering.asked.chat, list[Growing]()
        for checking in answering.checkings:
            prompts = [row.begun if goes_on else row.prompt for row in rows]
            verdicts = await checking.check(prompts, [row.text for row in rows], goes_on)
            answering.note("response", verdicts)
            shown = list[Growing]()
            for row, verdict in zip(rows, verdicts, strict=True):
                if verdict.shown:
                    shown.append(row)
                elif verdict.action is Action.resample and tried < checking.resamples:
                    again.append(row)
                else:
                    row.replace(checking.refusal)
            rows = shown
        return again
