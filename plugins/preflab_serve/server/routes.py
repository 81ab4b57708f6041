"""What each address answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from preflab.version import __version__
from preflab_people.server.answers import JSON, Refused
from preflab_people.server.requests import parse
from preflab_serve.account import Account
from preflab_serve.answering import Answering, gone
from preflab_serve.arms import facts
from preflab_serve.growing import Growing
from preflab_serve.scoring import scored
from preflab_serve.server import asked as asking
from preflab_serve.server import shapes
from preflab_serve.server.access import WHO
from preflab_serve.server.asked import Asked
from preflab_serve.server.fields import Row
from preflab_serve.server.shapes import Form, Object
from preflab_serve.service import Service

LOG = logging.getLogger("preflab_serve")
DONE = b"data: [DONE]\n\n"
Work = Callable[[Row, Request, Account], Coroutine[Any, Any, Response]]
"""Answers what stands in the body of a request, and closes its account."""


@dataclass(frozen=True)
class Routes:
    """The answers of one service."""

    service: Service

    def all(self) -> list[Route]:
        """Every address."""
        return [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/moderations", self.moderations, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        """Whether it can answer, and how much waits."""
        alive = self.service.worker.alive
        log, stuck = self.service.log, self.service.stuck
        well = alive and not stuck and (log is None or not log.owed)
        body = {"status": "ok" if well else "failed", "waiting": self.service.worker.load}
        return JSON(body, 200 if well else 503)

    async def models(self, request: Request) -> Response:
        """The arms."""
        shown = [facts(arm, self.service.guarded(arm)) for arm in self.service.arms.values()]
        return JSON({"object": "list", "data": shown})

    async def model(self, request: Request) -> Response:
        """One arm."""
        arm = self.service.arm(request.path_params["name"])
        return JSON(facts(arm, self.service.guarded(arm)))

    async def completions(self, request: Request) -> Response:
        """A text, continued."""
        return await self._noted(request, partial(self._asked, asking.completion))

    async def chat(self, request: Request) -> Response:
        """A turn of a conversation."""
        return await self._noted(request, partial(self._asked, asking.chat))

    async def moderations(self, request: Request) -> Response:
        """What the guards in front of a model say of texts."""
        return await self._noted(request, self._moderated)

    async def _noted(self, request: Request, work: Work) -> Response:
        """Answer a request as long as its client waits, within the limits of its key, and note it
        in the log of use."""
        account = Account(self.service, request.scope[WHO], request.url.path)
        try:
            account.begin()
            row = parse(await request.body())
            return await _waited_for(request, work(row, request, account))
        except Refused as refused:
            account.close(refused.status)
            raise
        except BaseException:
            account.close(500)
            raise

    async def _moderated(self, row: Row, request: Request, account: Account) -> Response:
        name, texts = asking.moderation(row)
        name, rows = await self.service.moderated(name, texts)
        account.close(200)
        return JSON(shapes.moderation(rows, name))

    async def _asked(
        self, read: Callable[[Row], Asked], row: Row, request: Request, account: Account
    ) -> Response:
        """Sample, and show what grows or what is whole. Log-probabilities are those of whole
        responses, and what a guard checks is whole too: such a stream begins at the end."""
        asked = read(row)
        account.answering = answering = await self.service.begin(asked)
        account.reserve()
        if asked.stream and asked.logprobs is None and not answering.checkings:
            self.service.sample(answering, answering.rows, ())
            watching = asyncio.create_task(_watch(request, account))
            grown = self._stream(answering, watching, account)
            return StreamingResponse(grown, media_type="text/event-stream")
        await self.service.whole(answering)
        logprobs = await self._logprobs(answering)
        account.close(200)
        if asked.stream:
            made = _all(_pieces(answering, logprobs))
            return StreamingResponse(made, media_type="text/event-stream")
        return JSON(whole(answering, logprobs))

    async def _logprobs(self, answering: Answering) -> list[Object | None]:
        """Of each response, as the client asked for them."""
        if answering.asked.logprobs is None:
            return [None] * len(answering.rows)
        return await self.service.called(answering, lambda: shown_logprobs(answering))

    async def _stream(
        self, answering: Answering, watching: asyncio.Task[None], account: Account
    ) -> AsyncIterator[bytes]:
        """The responses as they grow."""
        form, status = form_of(answering), 499
        try:
            async for choice in _grown(answering, form):
                yield _event(_piece(form, answering, [choice]))
            if answering.asked.usage:
                yield _event(form.piece([], usage_of(answering), True))
            yield DONE
            status = 200
        except Refused as refused:
            status = refused.status
            told = shapes.error(refused.sentence, refused.status, refused.code, refused.field)
            yield _event(told)
        finally:
            watching.cancel()
            account.close(status)


async def _grown(answering: Answering, form: Form) -> AsyncIterator[Object]:
    """What comes to each response, and why it ended."""
    sent = {row.number: "" for row in answering.rows}
    for row in answering.rows:
        first = row.prompt.text if answering.asked.echo else ""
        if answering.asked.chat or first:
            yield form.delta(row.number, first, first=True)
    growing = list(answering.rows)
    while growing:
        await answering.change()
        for row in list(growing):
            text, finish = row.sure()
            more = text[len(sent[row.number]) :]
            if more or finish:
                if answering.asked.echo and more and not sent[row.number]:
                    more = row.gap + more
                sent[row.number] = text
                yield form.delta(row.number, more, finish)
            if finish:
                growing.remove(row)


async def _waited_for(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """What some work gives. It ends where it is when the client hangs up: whatever it waits for, a
    guard too, is told so. Raises `Refused` then."""
    working, hanging_up = asyncio.create_task(work), asyncio.create_task(_hangs_up(request))
    try:
        await asyncio.wait([working, hanging_up], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise gone()
        return working.result()
    finally:
        working.cancel()
        hanging_up.cancel()


async def _watch(request: Request, account: Account) -> None:
    """Stop sampling when the client of a stream hangs up, be it before the first piece."""
    await _hangs_up(request)
    account.close(499)


async def _hangs_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _all(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def form_of(answering: Answering) -> Form:
    """How the answer is shown."""
    made = answering.arm.run.folder.name
    fingerprint = f"preflab-{__version__}-{made}-{answering.arm.role}"
    return Form(answering.asked.chat, answering.arm.name, fingerprint, answering.seed)


def usage_of(answering: Answering) -> Object:
    """Tokens of the request."""
    return shapes.usage(answering.prompt_tokens, answering.tokens)


def whole(answering: Answering, logprobs: Sequence[Object | None]) -> Object:
    """The answer in one piece."""
    form = form_of(answering)
    choices = [
        form.choice(row, text_of(answering, row), one)
        for row, one in zip(answering.rows, logprobs, strict=True)
    ]
    return form.whole(choices, usage_of(answering))


def text_of(answering: Answering, row: Growing) -> str:
    """The text of a choice, the prompt in front where it was asked for."""
    return f"{row.prompt.text}{row.gap}{row.text}" if answering.asked.echo else row.text


def shown_logprobs(answering: Answering) -> list[Object | None]:
    """Log-probabilities of the tokens, in the form of the request."""
    asked, arm = answering.asked, answering.arm
    assert asked.logprobs is not None
    rows = [
        ([*row.prompt_ids, *row.ids], 1 if asked.echo else len(row.prompt_ids))
        for row in answering.rows
    ]
    values = scored(arm.policy, arm.runtime, rows, asked.logprobs, answering.compute)
    found: list[Object | None] = []
    for row, one in zip(answering.rows, values, strict=True):
        answering.compute(0)  # with many long rows somebody may hang up here
        if asked.chat:
            found.append(shapes.chat_logprobs(row, one, asked.logprobs))
        else:
            found.append(shapes.completion_logprobs(row, one, asked.echo, asked.logprobs))
    return found


def _pieces(answering: Answering, logprobs: Sequence[Object | None]) -> list[bytes]:
    """A stream of responses that are there already, each in one piece."""
    form, pieces = form_of(answering), list[bytes]()
    for row, one in zip(answering.rows, logprobs, strict=True):
        choice = form.delta(row.number, text_of(answering, row), first=True)
        pieces.append(_event(_piece(form, answering, [choice | {"logprobs": one}])))
        pieces.append(_event(_piece(form, answering, [form.delta(row.number, "", row.finish)])))
    if answering.asked.usage:
        pieces.append(_event(form.piece([], usage_of(answering), True)))
    return [*pieces, DONE]


def _piece(form: Form, answering: Answering, choices: Sequence[Object]) -> Object:
    return form.piece(choices, None, answering.asked.usage)


def _event(body: Mapping[str, Any]) -> bytes:
    """One event of a stream. Everything outside ASCII is escaped, line ends too."""
    return b"data: " + json.dumps(body, separators=(",", ":"), allow_nan=False).encode() + b"\n\n"
