"""From what a client asks for to responses that grow: prompts are read, checked and sampled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from preflab.errors import UserError, nearest
from preflab.interfaces import AnyTemperature, AskedRow, StreamsRows
from preflab.records import Prompt
from preflab_builtin.guard.config import Action
from preflab_builtin.guard.verdicts import Verdict
from preflab_people.server.answers import Refused
from preflab_serve.arms import Arm
from preflab_serve.growing import Growing
from preflab_serve.guarding import Checking
from preflab_serve.usage.limits import Limits
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Wanted, Worker

if TYPE_CHECKING:
    from preflab_serve.server.asked import Asked

MOST_LOAD = 4096
"""Responses that may wait at a time."""
MOST_CHARACTERS = 100
"""Of a prompt, for each position of the model. Words of languages have 2 to 10 for each token."""


class Answering:
    """The responses to one request. Everything but `changed` and `failed` is called in the server's
    loop."""

    def __init__(self, arm: Arm, asked: Asked, seed: int) -> None:
        self.arm, self.asked, self.seed = arm, asked, seed
        self.rows: list[Growing] = []
        self.verdicts: list[tuple[str, Verdict]] = []
        """What a guard had something against: prompt or response."""
        self.gone = False
        self.error: BaseException | None = None
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
    """An error as an answer: what a person can mend is said in its words."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, UserError):
        return Refused(400, "invalid_value", str(error))
    return Refused(500, "server", "The server has an error of its own; its log says which.")


@dataclass(frozen=True)
class Service:
    """The arms by name, and what asks them. checking: the guard in front of all of them."""

    arms: Mapping[str, Arm]
    worker: Worker
    checking: Checking | None = None
    limits: Limits = field(default_factory=Limits)
    log: UsageLog | None = None

    def guarded(self, arm: Arm) -> bool:
        """Whether what an arm answers is checked before it is shown."""
        return self.checking is not None or arm.guarded

    def arm(self, name: str) -> Arm:
        """The arm of a model's name. Raises Refused."""
        if name not in self.arms:
            known = nearest(name, [*self.arms])
            raise Refused(
                404, "model_not_found", f"There is no model '{name}'. {known}", 0, "model"
            )
        return self.arms[name]

    async def begin(self, asked: Asked) -> Answering:
        """Check a request and begin to answer it. Raises Refused."""
        arm = self.arm(asked.model)
        if asked.logprobs is not None and self.guarded(arm):
            raise Refused(
                *(400, "invalid_value"),
                "'logprobs' is not supported behind a guard: they show words that it has not "
                "checked.",
                field="logprobs",
            )
        if self.worker.load > MOST_LOAD:
            raise Refused(503, "busy", "Too many requests wait; try again in 5 s.", wait=5)
        answering = Answering(
            arm, asked, secrets.randbelow(2**53) if asked.seed is None else asked.seed
        )
        try:
            answering.rows = await asyncio.wrap_future(self.worker.call(lambda: read(arm, asked)))
        except UserError as error:
            raise refusal(error) from error
        return answering

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
            future = self.worker.call(
                lambda: None if answering.gone else at_once(arm, asked, rows, seed)
            )
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
        """All responses, as far as the guard lets them be shown: prompts are checked before
        anything is sampled, and responses before a byte of them leaves. Raises Refused."""
        checking = self.checking
        if checking is None:
            self.sample(answering, answering.rows, ())
            await answering.whole()
            return
        prompts = answering.rows[:: answering.asked.n]
        verdicts = await checking.check([row.prompt for row in prompts], None)
        answering.note("prompt", verdicts)
        rows = []
        for row in answering.rows:
            if verdicts[row.number // answering.asked.n].shown:
                rows.append(row)
            else:
                row.replace(checking.refusal)
        await self._checked(answering, checking, rows, ())
        for attempt in range(checking.resamples):
            for row in [row for row in rows if row.again]:
                row.begin_anew()
                await self._checked(answering, checking, [row], ("guard", row.number, attempt))
        for row in [row for row in rows if row.again]:
            row.replace(checking.refusal)

    async def _checked(
        self,
        answering: Answering,
        checking: Checking,
        rows: Sequence[Growing],
        draw: tuple[int | str, ...],
    ) -> None:
        """Sample rows and check them: each may be shown, is refused, or is to be sampled again."""
        if not rows:
            return
        self.sample(answering, rows, draw)
        await answering.whole()
        verdicts = await checking.check([row.prompt for row in rows], [row.text for row in rows])
        answering.note("response", verdicts)
        for row, verdict in zip(rows, verdicts, strict=True):
            row.again = not verdict.shown and verdict.action is Action.resample
            if not verdict.shown and not row.again:
                row.replace(checking.refusal)


# --- in the worker's thread ---


def read(arm: Arm, asked: Asked) -> list[Growing]:
    """The rows of a request, each prompt checked. `UserError` for a prompt that cannot be answered
    as it was asked for."""
    tokenizer, rows = arm.tokenizer, list[Growing]()
    _check_way(arm, asked)
    for place, given in enumerate(asked.prompts):
        where = "" if len(asked.prompts) == 1 else f"Prompt {place}: "
        if isinstance(given, Prompt):
            prompt = replace(given, id=f"{place}")
            _check_short(arm, prompt, where)
            _check_readable(arm, prompt, where)
            ids = tuple(tokenizer.encode_prompt(prompt))
            most = _most(arm, asked, len(ids), where)
        else:
            if wrong := [token for token in given if token >= tokenizer.size]:
                raise UserError(
                    f"{where}There is no token {wrong[0]}: the model has {tokenizer.size}, from 0."
                )
            ids, most = given, _most(arm, asked, len(given), where)
            prompt = Prompt(f"{place}", tokenizer.decode(ids))
        rows += [
            Growing(tokenizer, prompt, ids, place * asked.n + k, most, asked.stops)
            for k in range(asked.n)
        ]
    return rows


def _check_way(arm: Arm, asked: Asked) -> None:
    """An algorithm that answers by itself has a cap of its own, and reads texts."""
    engine = arm.engine
    if not arm.own_way and isinstance(engine, StreamsRows):
        return
    if not all(isinstance(prompt, Prompt) for prompt in asked.prompts):
        raise UserError(f"{arm.name} reads prompts as texts only, not as token ids.")
    own = engine.sampling.max_tokens
    if arm.own_way and asked.max_tokens is not None and 0 < asked.max_tokens < own:
        raise UserError(
            f"max_tokens: the algorithm of {arm.name} answers with up to {own} tokens; give as "
            "many or leave it out."
        )
    other = arm.own_way and asked.temperature not in (None, engine.sampling.temperature)
    if other and not isinstance(arm.responder, AnyTemperature):
        raise UserError(f"temperature: the algorithm of {arm.name} has one of its own.")


def _check_short(arm: Arm, prompt: Prompt, where: str) -> None:
    """A text that no tokenizer makes short enough is refused unread: reading megabytes takes
    seconds, in which nobody else is answered."""
    if arm.positions is not None and len(prompt.text) > MOST_CHARACTERS * arm.positions:
        raise UserError(
            f"{where}Its {len(prompt.text)} characters leave no room for a response in the "
            f"{arm.positions} positions of the model."
        )


def _check_readable(arm: Arm, prompt: Prompt, where: str) -> None:
    """A model with few words would answer another prompt than it was asked."""
    for text in [turn.content for turn in prompt.messages] or [prompt.text]:
        seen = arm.run.unread(text)
        if seen is not None and folded(seen) != folded(text):
            raise UserError(f"{where}The model cannot read all of this. It reads: {seen!r}")


def folded(text: str) -> list[str]:
    """The words of a text, as tokenizers without capitals and with normal forms read them."""
    return unicodedata.normalize("NFKC", text).casefold().split()


def _most(arm: Arm, asked: Asked, length: int, where: str) -> int:
    """Tokens that a response may have."""
    if not length:
        raise UserError(f"{where}It has no tokens: there is nothing to answer.")
    own, limit = arm.engine.sampling.max_tokens, arm.positions
    most = own if asked.max_tokens is None else asked.max_tokens
    room = most if limit is None else limit - length
    if room < (asked.max_tokens != 0):
        raise UserError(
            f"{where}Its {length} tokens leave no room for a response in the {limit} positions of "
            "the model."
        )
    if arm.own_way:
        return own
    if asked.max_tokens is not None and most > room:
        raise UserError(
            f"{where}Its {length} tokens and max_tokens={most} are more than the {limit} positions "
            f"of the model: max_tokens can be {room} at most."
        )
    return min(most, room)


def at_once(arm: Arm, asked: Asked, rows: Sequence[Growing], seed: tuple[int | str, ...]) -> None:
    """Whole responses, by a run's algorithm or by an engine that gives no single tokens."""
    prompts = [row.prompt for row in rows]
    if arm.own_way:
        responder = arm.responder
        if asked.temperature is not None and isinstance(responder, AnyTemperature):
            responder = responder.at_temperature(asked.temperature)
        rollout = responder.respond(prompts, seed)
    else:
        sampling = replace(arm.engine.sampling, samples=1, max_tokens=max(r.most for r in rows))
        if asked.temperature is not None:
            sampling = replace(sampling, temperature=asked.temperature)
        rollout = arm.engine.generate(arm.policy, prompts, sampling, seed)
    for row, (_, ids) in zip(rows, rollout.tokens(), strict=True):
        for token in ids:
            if not row.finish:
                row.feed(token)
        if not row.finish:
            row.state = (row.text, "length")
