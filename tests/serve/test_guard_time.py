"""How long a guard of a server is waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import httpx

from preflab.records import Prompt
from preflab_builtin.guard.verdicts import Verdict
from preflab_people.server.rules import allowed_hosts
from preflab_serve.guarding import Checking
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.worker import Worker
from serve.fakes import fake_arm


def test_each_call_about_a_response_that_goes_on_has_its_time() -> None:
    """A response, with the end of its prompt, and with the last word: three calls of 0.2 s, where
    one may take 0.5 s. No call takes longer, so that nobody else is locked out."""
    stuck: list[bool] = []

    class Slow:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            time.sleep(0.2)
            stuck.append(checking.asker.stuck)
            return [Verdict() for _ in prompts]

    checking = Checking(Slow(), "No.", 2, seconds=0.5)
    (verdict,) = asyncio.run(checking.check([Prompt("", "one two")], ["three"], goes_on=True))
    assert verdict.shown
    assert stuck == [False] * 3


def test_each_call_of_a_long_search_leaves_others_their_turn() -> None:
    """The end of 180 characters of a prompt is looked at in many calls; what another request asks
    meanwhile has the next one."""
    calls: list[str] = []
    go = threading.Event()

    class Hell:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            assert texts is not None
            calls.append(texts[0])
            go.wait(10)
            return [Verdict("hell" not in text) for text in texts]

    async def work() -> None:
        checking = Checking(Hell(), "No.", 0)
        long = [Prompt("", f"{'a' * 10} hell " + "go on " * 28)]
        first = asyncio.create_task(checking.check(long, ["now"], goes_on=True))
        while not calls:
            await asyncio.sleep(0.001)
        second = asyncio.create_task(checking.check([Prompt("", "")], ["other"]))
        await asyncio.sleep(0)
        go.set()
        assert [(await one)[0].shown for one in (first, second)] == [True, True]

    asyncio.run(work())
    assert calls.index("other") == 1
    assert len(calls) > 5


def test_many_texts_of_one_client_refuse_no_other() -> None:
    """384 texts to be moderated take 24 calls of 0.05 s, where one may take 0.4 s. What another
    client asks for meanwhile has its turns between them, and so are all of the texts read."""

    class Slow:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            time.sleep(0.05)
            return [Verdict() for _ in prompts]

    async def work() -> tuple[httpx.Response, httpx.Response, bool]:
        checking = Checking(Slow(), "No.", 0, seconds=0.4)
        service = Service({"fake": fake_arm(lambda *_: "fine")}, Worker(gather=0), checking)
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            many = asyncio.create_task(client.post("/v1/moderations", json={"input": ["a"] * 384}))
            await asyncio.sleep(0.1)
            body = {"model": "fake", "prompt": "hello"}
            one = await client.post("/v1/completions", json=body)
            first = not many.done()
            return await many, one, first

    many, one, first = asyncio.run(work())
    (choice,) = one.json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("fine", "stop")
    assert first
    assert many.status_code == 200
    assert len(many.json()["results"]) == 384
