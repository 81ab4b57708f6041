"""Arms without a model: they answer with given texts, a byte at a time. And requests to a service
in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx

from preflab.interfaces import AskedRow, Sampling
from preflab.records import Prompt, Rollout
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.guard.asking import InTime
from preflab_builtin.guard.responder import Guarded
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service


class Bytes:
    """`preflab.interfaces.StreamsRows`: the answer to a prompt and a seed, byte by byte."""

    sampling = Sampling(max_tokens=200)

    def __init__(self, answer: Callable[[str, tuple[int | str, ...]], str]) -> None:
        self.answer, self.tokenizer, self.steps = answer, byte_tokenizer(), 0

    def generate(self, *given: Any) -> Any:
        raise NotImplementedError

    def stream_rows(self, policy: object, rows: Sequence[AskedRow], temperature: float) -> Any:
        return Rows(self, rows)


class Rows:
    """Responses that grow by a byte at each step, whole characters or not."""

    def __init__(self, engine: Bytes, rows: Sequence[AskedRow]) -> None:
        self.engine = engine
        tokenizer = engine.tokenizer
        texts = [engine.answer(tokenizer.decode(row.prompt), row.seed) for row in rows]
        self.left = [tokenizer.encode_response(Prompt("", ""), text) for text in texts]

    def step(self) -> list[tuple[int, int]]:
        self.engine.steps += 1
        return [(i, ids.pop(0)) for i, ids in enumerate(self.left) if ids]

    def drop(self, rows: Collection[int]) -> None:
        for row in rows:
            self.left[row] = []


def fake_arm(answer: Callable[[str, tuple[int | str, ...]], str]) -> Arm:
    """An arm called "fake". answer: of a prompt and a seed."""

    class Run:
        title, folder = "fake", Path("fake")

        def unread(self, text: str) -> None:
            return None

    class Fake:
        name, role, created, run = "fake", "result", 0, Run()
        own_way, guarded, positions, policy, draws = False, False, 1000, None, 1
        checking, stuck = None, False
        engine = Bytes(answer)
        tokenizer = engine.tokenizer

    return cast(Arm, Fake())


class Answering:
    """`preflab.interfaces.Responder`: the same answers as whole texts."""

    def __init__(self, answer: Callable[[str, tuple[int | str, ...]], str]) -> None:
        self.answer, nothing = answer, lambda *given, **more: None
        module = SimpleNamespace(register_forward_pre_hook=nothing, requires_grad_=nothing)
        self.policy: Any = SimpleNamespace(
            tokenizer=byte_tokenizer(), prefill=nothing, extend=nothing, module=module
        )

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        tokenizer = self.policy.tokenizer
        read = [tokenizer.decode(tokenizer.encode_prompt(prompt)) for prompt in prompts]
        texts = [self.answer(text, tuple(seed)) for text in read]
        return Rollout.from_texts(tokenizer, prompts, texts)


def guarded_arm(
    answer: Callable[[str, tuple[int | str, ...]], str], guard: Guard, seconds: float = 30.0
) -> Arm:
    """An arm called "mine" whose algorithm answers behind a guard. seconds: that its run gives the
    guard."""
    plain = fake_arm(answer)
    responder = Guarded(Answering(answer), InTime(guard, seconds, "algorithm"), "No.", 1)
    algorithm = SimpleNamespace(name="guarded", component=SimpleNamespace(build="guarded"))
    run: Any = plain.run
    run.opened = SimpleNamespace(
        responder=lambda role: responder,
        context=SimpleNamespace(
            rollout=lambda: plain.engine, tokenizer=plain.tokenizer, max_positions=1000
        ),
        environment=SimpleNamespace(run=SimpleNamespace(choices={"algorithm": algorithm})),
    )
    return Arm("mine", run, "result", 0, main=True)


def asked(service: Service, path: str, body: Mapping[str, Any]) -> httpx.Response:
    """The answer to one request to a model, "fake" unless another is named. The service ends."""

    async def work() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json={"model": "fake"} | dict(body))

    found = asyncio.run(work())
    service.worker.close()
    return found


class Hanging:
    """A guard that hangs until it is let go, and counts its calls."""

    def __init__(self) -> None:
        self.go, self.calls = threading.Event(), 0

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        self.calls += 1
        self.go.wait(10)
        return [Verdict() for _ in prompts]
