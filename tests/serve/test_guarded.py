"""A guarded server: nothing that the guard does not allow leaves, in one piece or in many."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from preflab.records import Prompt
from preflab_builtin.guard.config import Action, Part, WordsConfig
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_builtin.guard.words import words
from preflab_people.server.rules import allowed_hosts
from preflab_serve.guarding import Checking
from preflab_serve.server import shapes
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import GUARD, Service
from preflab_serve.usage.limits import Limits
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Worker
from serve.fakes import Hanging, asked, fake_arm

OFFENSIVE = (
    "you idiot",
    "IDIOT!",
    "such an ídiot, really",
    "Ein Blödmann 💥 bist du",
    "idi\u200bot",
)
HARMLESS = ("fine", "a kind word 💐", "an id", "bye")
FORBIDDEN = ("idiot", "Blödmann")
CANARIES = (
    "you idiot",
    "IDIOT!",
    "ídiot",
    "Blödmann",
    "idi\u200bot",
    "\\u00eddiot",
    "Bl\\u00f6dmann",
)
"""How what is forbidden may stand in the bytes that leave."""
REFUSAL = "I cannot help with that."


def answer(prompt: str, seed: tuple[int | str, ...]) -> str:
    """Mostly offensive: a pseudo-random function of prompt and seed."""
    draw = random.Random(f"{prompt} {seed}")
    middle = draw.choice(OFFENSIVE if draw.random() < 0.6 else HARMLESS)
    return f"{draw.choice(['Well. ', '', 'Yes, '])}{middle}{draw.choice(['', '. Truly.'])}"


def forbidding(action: Action = Action.refuse, checks: Part = Part.both) -> Guard:
    config = WordsConfig(words=list(FORBIDDEN), action=action, checks=checks, category="insult")
    return words(config, cast(Any, None))


@asynccontextmanager
async def server(checking: Checking, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a guarded server in this process."""
    worker = Worker(gather=0)
    service = Service({"fake": fake_arm(answer)}, worker, checking, **more)
    app = create_app(service, Access(allowed_hosts(())))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    worker.close()


async def requests(client: httpx.AsyncClient, number: int) -> list[bytes]:
    """The bytes that leave for this many requests, in one piece and in streams, of both forms."""

    async def one(i: int) -> bytes:
        body: dict[str, Any] = {"model": "fake", "seed": i, "stream": i % 2 == 0, "n": 1 + i % 3}
        if i % 4 < 2:
            path, said = "/v1/completions", {"prompt": f"prompt {i}", "echo": i % 8 == 0}
        else:
            turns = [{"role": "user", "content": f"prompt {i}"}]
            path, said = "/v1/chat/completions", {"messages": turns}
        answered = await client.post(path, json=body | said)
        assert answered.status_code == 200, answered.text
        return answered.content

    found: list[bytes] = []
    for start in range(0, number, 50):
        found += await asyncio.gather(*(one(i) for i in range(start, min(start + 50, number))))
    return found


def texts(content: bytes) -> list[str]:
    """The texts of an answer or a stream, put together."""
    raw = content.decode()
    pieces = [line[6:] for line in raw.split("\n") if line.startswith("data: {")] or [raw]
    found: dict[int, str] = {}
    for piece in pieces:
        for choice in json.loads(piece)["choices"]:
            said = choice.get("text") or (choice.get("delta") or choice.get("message") or {}).get(
                "content"
            )
            found[choice["index"]] = found.get(choice["index"], "") + (said or "")
    return list(found.values())


def check_no_leak(number: int, action: Action) -> None:
    async def work() -> list[bytes]:
        async with server(Checking(forbidding(action), REFUSAL, 2)) as client:
            return await requests(client, number)

    answers = asyncio.run(work())
    guard = forbidding()
    shown = [text for content in answers for text in texts(content)]
    leaks = [c for c in CANARIES for content in answers if c.encode() in content]
    assert leaks == []
    # Cut at every byte: no part of what has left is anything that the guard does not allow.
    for text in shown:
        cuts = [text.encode()[:i].decode(errors="ignore") for i in range(len(text.encode()) + 1)]
        assert all(v.allowed for v in guard.check([Prompt("", "")] * len(cuts), cuts))
    refused = sum(text.endswith(REFUSAL) for text in shown)
    assert 0 < refused < len(shown)


@pytest.mark.parametrize("action", [Action.refuse, Action.resample])
def test_nothing_forbidden_leaves(action: Action) -> None:
    check_no_leak(40, action)


@pytest.mark.serve
@pytest.mark.parametrize("action", [Action.refuse, Action.resample])
def test_nothing_forbidden_leaves_in_a_thousand_requests(action: Action) -> None:
    check_no_leak(1000, action)


def ask(checking: Checking, **more: Any) -> dict[str, Any]:
    """One answer behind a guard."""

    async def work() -> dict[str, Any]:
        async with server(checking) as client:
            body = {"model": "fake", "prompt": "hello", "seed": 1} | more
            answered = await client.post("/v1/completions", json=body)
            found: dict[str, Any] = answered.json()
            return found

    return asyncio.run(work())


class Broken:
    """A guard that raises, hangs, or says too little."""

    def __init__(self, how: str) -> None:
        self.how = how

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        if self.how == "raises":
            raise OSError("gone")
        if self.how == "hangs":
            time.sleep(1.5)
        return [] if self.how == "says nothing" else [Verdict() for _ in prompts]


@pytest.mark.parametrize("how", ["raises", "hangs", "says nothing"])
def test_a_guard_that_fails_refuses(how: str) -> None:
    found = ask(Checking(Broken(how), REFUSAL, 2, seconds=0.2))
    (choice,) = found["choices"]
    assert (choice["text"], choice["finish_reason"]) == (REFUSAL, "content_filter")


def test_a_text_that_a_client_cuts_and_lets_go_on_is_read_as_one() -> None:
    """Cut at every character: what was shown before is the prompt, and the rest is the response.
    A word that stands in the prompt already is its client's, but opens nothing; a turn of a
    conversation begins anew."""
    whole = "Well, you idiot!"

    def rest(prompt: str, seed: tuple[int | str, ...]) -> str:
        return whole.removeprefix(prompt) if whole.startswith(prompt) else "iot"

    async def work() -> tuple[list[str], list[str]]:
        worker = Worker(gather=0)
        checking = Checking(forbidding(checks=Part.response), REFUSAL, 0)
        app = create_app(
            Service({"fake": fake_arm(rest)}, worker, checking), Access(allowed_hosts(()))
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            cuts = [whole[:i] for i in range(1, whole.index("!"))]
            said = ["idiot is a word, you id", "idiot , she said , and went"]
            body = {"model": "fake", "prompt": [*cuts, *said]}
            found = texts((await client.post("/v1/completions", json=body)).content)
            turns = {"model": "fake", "messages": [{"role": "user", "content": "you id"}]}
            chat = texts((await client.post("/v1/chat/completions", json=turns)).content)
        worker.close()
        return found, chat

    found, chat = asyncio.run(work())
    assert found[:-1] == [REFUSAL] * 15
    assert (found[-1], chat) == ("iot", ["iot"])


def test_one_call_of_a_guard_that_hangs_is_left_behind_and_no_more() -> None:
    """The first request is refused; those that wait for their turn meanwhile hear that the guard is
    busy (503), which is no fault of their texts; then nobody is let in, at once. Once it goes on,
    all is as before."""
    guard = Hanging()

    async def work() -> None:
        threads = threading.active_count()
        async with server(Checking(guard, REFUSAL, 2, seconds=0.2)) as client:
            body = {"model": "fake", "prompt": "hello", "seed": 1}

            async def post() -> httpx.Response:
                return await client.post("/v1/completions", json=body)

            first, *waited = await asyncio.gather(*(post() for _ in range(20)))
            assert first.json()["choices"][0]["text"] == REFUSAL
            assert {(a.status_code, a.json()["error"]["code"]) for a in waited} == {
                (503, "guard_busy")
            }
            await asyncio.sleep(0.05)
            later = await asyncio.gather(*(post() for _ in range(20)))
            assert {(a.status_code, a.headers["retry-after"]) for a in later} == {(503, "5")}
            said = (await client.post("/v1/moderations", json={"input": "a"})).status_code
            assert (said, (await client.get("/health")).status_code) == (503, 503)
            assert guard.calls == 1
            assert threading.active_count() <= threads + 3  # guard, models, and none a request
            guard.go.set()
            while (await client.get("/health")).status_code == 503:
                await asyncio.sleep(0.01)
            assert guard.calls == 1  # the others of the first were not asked for in vain
            assert (await post()).json()["choices"][0]["text"] == answer("hello", (1, "sample"))

    asyncio.run(work())


def test_a_guard_is_asked_for_few_texts_at_a_time() -> None:
    """Each piece of 32 texts has the whole time: 100 texts take 0.4 s, where one call has 0.2."""
    seen: list[int] = []

    class Slow:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            seen.append(len(prompts))
            time.sleep(0.1)
            return [Verdict() for _ in prompts]

    checking = Checking(Slow(), REFUSAL, 2, seconds=0.2)
    found = asyncio.run(checking.check([Prompt("", "a")] * 100, None))
    assert seen == [32, 32, 32, 4]
    assert len(found) == 100
    assert all(verdict.shown for verdict in found)


def test_texts_to_be_moderated_have_a_greatest_length() -> None:
    async def work() -> list[httpx.Response]:
        async with server(Checking(forbidding(), REFUSAL, 2)) as client:
            bodies = ({"input": "a" * 50_000}, {"input": ["a", "a" * 50_001]})
            return [await client.post("/v1/moderations", json=body) for body in bodies]

    short, long = asyncio.run(work())
    assert (short.status_code, long.status_code) == (200, 400)
    error = long.json()["error"]
    assert (error["param"], "50001 characters is longer than 50000" in error["message"]) == (
        "input",
        True,
    )


def test_a_prompt_is_refused_before_anything_is_sampled() -> None:
    found = ask(Checking(forbidding(), REFUSAL, 2), prompt=["you idiot", "hello"])
    assert found["choices"][0]["text"] == REFUSAL
    assert found["usage"]["completion_tokens"] <= 200  # of the other prompt alone


def test_log_probabilities_are_not_shown_behind_a_guard() -> None:
    found = ask(Checking(forbidding(), REFUSAL, 2), logprobs=1)
    assert found["error"]["param"] == "logprobs"
    assert "not checked" in found["error"]["message"]


def test_all_responses_that_are_sampled_again_are_sampled_and_checked_together() -> None:
    """Eight responses to one prompt, blocked at first: one call for the prompt, one for the
    responses, and one for those in their place."""
    calls: list[int] = []

    class Counting:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            calls.append(len(prompts))
            return forbidding(Action.resample).check(prompts, texts)

    def twice(prompt: str, seed: tuple[int | str, ...]) -> str:
        return f"fine {seed[3]}" if "guard" in seed else "you idiot"

    service = Service({"fake": fake_arm(twice)}, Worker(gather=0), Checking(Counting(), REFUSAL, 2))
    body = {"messages": [{"role": "user", "content": "hello"}], "n": 8, "seed": 1}
    choices = asked(service, "/v1/chat/completions", body).json()["choices"]
    assert [one["message"]["content"] for one in choices] == [f"fine {i}" for i in range(8)]
    assert calls == [1, 8, 8]


def test_what_is_only_flagged_is_shown() -> None:
    text = answer("hello", (1, "sample"))
    found = ask(Checking(forbidding(Action.flag), REFUSAL, 2))
    assert found["choices"][0]["text"] == text


def test_moderations() -> None:
    async def work() -> Any:
        async with server(Checking(forbidding(), REFUSAL, 2)) as client:
            body = {"input": ["an idiot", "fine"], "model": "fake"}
            return (await client.post("/v1/moderations", json=body)).json()

    first, second = asyncio.run(work())["results"]
    assert first == {
        "flagged": True,
        "categories": {"insult": True},
        "category_scores": {"insult": 1.0},
    }
    assert second["flagged"] is False


def test_what_is_blocked_without_a_category_is_flagged() -> None:
    class Silent:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            return [Verdict(allowed=False) for _ in prompts]

    (found,) = asyncio.run(Checking(Silent(), REFUSAL, 2).moderated(["hello"]))
    (row,) = shapes.moderation([found], GUARD)["results"]
    assert (row["flagged"], row["categories"]) == (True, {"unnamed": True})


def test_the_log_of_use_holds_no_text_and_limits_hold(tmp_path: Path) -> None:
    log, limits = UsageLog(tmp_path), Limits(requests=3, tokens=1000)
    body = {"model": "fake", "prompt": "you idiot", "seed": 1, "user": "somebody"}

    async def work() -> list[int]:
        checking = Checking(forbidding(), REFUSAL, 2)
        async with server(checking, log=log, limits=limits) as client:
            asked = [
                body,
                body | {"prompt": "hello", "stream": True, "max_tokens": 100},
                body | {"prompt": "hello", "max_tokens": 900, "n": 2},  # more than are left
                body,
            ]
            return [(await client.post("/v1/completions", json=one)).status_code for one in asked]

    assert asyncio.run(work()) == [200, 200, 429, 429]
    text = next(tmp_path.glob("*.jsonl")).read_text()
    assert not any(word in text for word in ("idiot", "hello", "somebody", "local", "Well"))
    rows = [json.loads(line) for line in text.splitlines()][1:]
    assert [row["status"] for row in rows] == [200, 200, 429, 429]
    assert rows[0]["against"] == [
        {"stage": "prompt", "category": "insult", "score": 1.0, "action": "refuse"}
    ]
    assert rows[0]["user"] == log.pseudonym("somebody")
    assert rows[0]["tokens"] == 0  # nothing was sampled
    assert rows[1]["prompt_tokens"] == len("hello")
