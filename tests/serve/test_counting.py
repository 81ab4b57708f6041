"""What a key's requests cost: every token that was computed, shown or not; and work that ends when
nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from preflab.interfaces import Sampling
from preflab.records import Prompt
from preflab.testing import FakeContext
from preflab_builtin.baselines.config import SteeredConfig
from preflab_builtin.baselines.steered import steered
from preflab_builtin.guard.config import Action
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_people.server.answers import Refused
from preflab_people.server.rules import allowed_hosts
from preflab_serve import service as serving
from preflab_serve.arms import Arm
from preflab_serve.guarding import Checking
from preflab_serve.metering import listening
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.server.asked import completion
from preflab_serve.service import Service
from preflab_serve.usage.limits import Limits
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Worker
from serve.fakes import fake_arm

PROMPT = "user : what is the color of gus ? assistant :"


def lines(folder: Path) -> list[dict[str, Any]]:
    """The requests of a log."""
    rows = [json.loads(r) for file in folder.glob("*.jsonl") for r in file.read_text().splitlines()]
    return [row for row in rows if "about" not in row]


def asked(service: Service, *bodies: Mapping[str, Any]) -> list[httpx.Response]:
    """The answers to requests, one after the other."""

    async def work() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.post("/v1/completions", json=dict(body)) for body in bodies]

    found = asyncio.run(work())
    service.worker.close()
    return found


class Never:
    """A guard that allows no response."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        return [Verdict(responses is None, "any", 1.0, self.action) for _ in prompts]


@pytest.mark.parametrize(("action", "times"), [(Action.refuse, 1), (Action.resample, 3)])
def test_tokens_of_what_is_not_shown_count(tmp_path: Path, action: Action, times: int) -> None:
    """A prompt of 5 bytes and 20 sampled ones (``max_tokens``), once, or once and twice more. Each
    time the model reads the prompt, too. 2 responses: 2 * 25 and 2 * 75 of the day's 400."""
    guard: Guard = Never(action)
    arm = fake_arm(lambda prompt, seed: "x" * 100)
    service = Service(
        {"fake": arm},
        Worker(gather=0),
        Checking(guard, "No.", 2),
        Limits(tokens=400),
        UsageLog(tmp_path),
    )
    body = {"model": "fake", "prompt": "hello", "max_tokens": 20, "n": 2}
    (answer,) = asked(service, body)
    assert answer.json()["usage"]["completion_tokens"] == 0  # OpenAI's meaning: of what is shown
    (row,) = lines(tmp_path)
    assert (row["tokens"], row["computed"]) == (0, 2 * 25 * times)
    service.limits.reserve("local", 400 - 2 * 25 * times)
    with pytest.raises(Refused, match="and 0 of 400 are left"):
        service.limits.reserve("local", 1)


def test_a_key_cannot_use_more_than_its_tokens_of_the_day() -> None:
    """A request may need 3 * 25 tokens: two of them fit into 150, also if nothing is shown. The
    last step of each response finds nothing."""
    arm = fake_arm(lambda prompt, seed: "x" * 100)
    checking = Checking(Never(Action.resample), "No.", 2)
    service = Service({"fake": arm}, Worker(gather=0), checking, Limits(tokens=150))
    body = {"model": "fake", "prompt": "hello", "max_tokens": 20}
    assert [one.status_code for one in asked(service, *[body] * 3)] == [200, 200, 429]
    assert cast(Any, arm.engine).steps == 6 * (20 + 1)


def test_all_samples_of_best_of_n_count(arms: Mapping[str, Arm], tmp_path: Path) -> None:
    """Best of 2: of both the prompt is read once and every token but the last."""
    arm = arms["bon"]
    service = Service({"bon": arm}, Worker(), log=UsageLog(tmp_path))
    (answer,) = asked(service, {"model": "bon", "prompt": PROMPT, "seed": 5})
    sampling = replace(arm.engine.sampling, samples=2)
    seed = (5, "sample")
    both = arm.engine.generate(arm.policy, [Prompt("0", PROMPT)], sampling, seed).tokens()
    read = len(both[0][0]) + sum(len(response) - 1 for _, response in both)
    (row,) = lines(tmp_path)
    assert row["computed"] >= read
    assert row["computed"] > answer.json()["usage"]["total_tokens"]


@pytest.mark.parametrize("stored", [False, True])
def test_what_steers_counts(tmp_path: Path, stored: bool) -> None:
    """The policy reads the prompt and every token but the last; what knows the classes, be it the
    policy or a model of its own, reads them twice, with a word in front."""
    FakeContext(tmp_path, seed=5).policy("initial").save(tmp_path / "classes")
    path = str(tmp_path / "classes") if stored else ""
    responder = steered(
        SteeredConfig(wanted="good ", unwanted="bad ", path=path), FakeContext(tmp_path)
    )
    run = SimpleNamespace(opened=SimpleNamespace(responder=lambda role: responder))
    arm, told = Arm("steered", cast(Any, run), "result", 0, main=True), list[int]()
    with listening(told.append):
        rollout = arm.responder.respond([Prompt("0", "one plus two")], (1, "x"))
    ((prompt, response),) = rollout.tokens()
    assert sum(told) == 3 * len(prompt) + 2 + 3 * (len(response) - 1)
    assert arm.draws == 3


def test_tokens_that_are_scored_count(arms: Mapping[str, Arm], tmp_path: Path) -> None:
    service = Service({"base": arms["bon:base"]}, Worker(), log=UsageLog(tmp_path))
    body = {"model": "base", "prompt": PROMPT, "echo": True, "logprobs": 0, "max_tokens": 0}
    (answer,) = asked(service, body)
    (row,) = lines(tmp_path)
    assert row["computed"] == answer.json()["usage"]["prompt_tokens"] > 0


# --- clients that hang up ---


def test_a_client_that_hangs_up_stops_its_responses() -> None:
    """It leaves after the first of 190 bytes: at most a few more are decoded."""

    async def work() -> int:
        worker = Worker(gather=0)
        arm = fake_arm(lambda prompt, seed: "x" * 190)
        engine = cast(Any, arm.engine)
        plain = engine.stream_rows

        def slow(*given: Any) -> Any:
            rows = plain(*given)
            once = rows.step

            def late() -> Any:
                time.sleep(0.02)
                return once()

            rows.step = late
            return rows

        engine.stream_rows = slow
        service = Service({"fake": arm}, worker)
        asked = completion({"model": "fake", "prompt": "hello"})
        answering = await service.begin(asked)
        service.sample(answering, answering.rows, ())
        await answering.change()
        answering.leave()
        for _ in range(100):
            if not worker.load:
                break
            await asyncio.sleep(0.02)
        worker.close()
        return len(answering.rows[0].ids)

    assert asyncio.run(work()) < 50


def test_a_client_that_hangs_up_stops_best_of_n(
    arms: Mapping[str, Arm], monkeypatch: pytest.MonkeyPatch
) -> None:
    """128 responses, the best of two each, all at one call: they are left after the third token.
    At most one more is decoded."""
    arm = arms["bon"]
    policy: Any = arm.policy
    plain, steps, go = policy.extend, [0], threading.Event()

    def slow(*given: Any) -> Any:
        found = plain(*given)
        steps[0] += 1
        if steps[0] == 3:
            go.wait(10)
        return found

    monkeypatch.setattr(policy, "extend", slow)

    async def work() -> int:
        worker = Worker(gather=0)
        service = Service({"bon": arm}, worker)
        body = {"model": "bon", "prompt": PROMPT, "seed": 1, "n": 128}
        answering = await service.begin(completion(body))
        service.sample(answering, answering.rows, ())
        while steps[0] < 3:
            await asyncio.sleep(0.005)
        assert worker.load == 128  # the call counts while it works
        answering.leave()
        go.set()
        while worker.load:
            await asyncio.sleep(0.005)
        worker.close()
        return steps[0]

    assert asyncio.run(work()) == 3


def test_calls_that_wait_are_part_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a call of 10 responses works, 16 - 10 others fit, and no 7."""
    monkeypatch.setattr(serving, "MOST_LOAD", 16)
    go = threading.Event()

    async def work() -> int:
        worker = Worker(gather=0)
        service = Service({"fake": fake_arm(lambda prompt, seed: "x")}, worker)
        working = worker.call(lambda: go.wait(10), rows=10)
        with pytest.raises(Refused, match="Too many requests wait") as refused:
            await service.begin(completion({"model": "fake", "prompt": "a", "n": 7}))
        fits = asyncio.create_task(
            service.begin(completion({"model": "fake", "prompt": "a", "n": 6}))
        )
        await asyncio.sleep(0)
        assert worker.load == 16
        go.set()
        await fits
        working.result()
        assert worker.load == 0
        worker.close()
        return refused.value.status

    assert asyncio.run(work()) == 503


def test_an_engine_that_gives_no_single_tokens_counts_and_is_asked_for_few(tmp_path: Path) -> None:
    """Such an engine may tell nothing: what it gave is counted, 5 of the prompt and 3 of the
    response each."""

    class Whole:
        sampling = Sampling(max_tokens=50)

        def generate(self, policy: object, prompts: Sequence[Prompt], *more: Any) -> Any:
            class Given:
                def tokens(self) -> list[tuple[list[int], list[int]]]:
                    return [([1] * 5, [65, 66, 67]) for _ in prompts]

            return Given()

    arm: Any = fake_arm(lambda prompt, seed: "")
    arm.engine = Whole()
    service = Service({"fake": arm}, Worker(gather=0), log=UsageLog(tmp_path))
    body = {"model": "fake", "prompt": "hello", "n": 2}
    few, many = asked(service, body, body | {"n": 65})
    assert few.json()["usage"]["total_tokens"] == 5 + 2 * 3
    assert lines(tmp_path)[0]["computed"] == 2 * (5 + 3)
    assert (many.status_code, "up to 64 responses" in many.text) == (400, True)
