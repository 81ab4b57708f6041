"""Clients that hang up while a guard reads what they sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preflab.records import Prompt
from preflab_people.server.rules import allowed_hosts
from preflab_serve.guarding import Checking
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Worker
from serve.fakes import Hanging, fake_arm
from serve.test_counting import lines


async def hang_up(service: Service, guard: Hanging, path: str, body: Mapping[str, Any]) -> None:
    """Ask, and leave while the guard has its first call, which then ends."""
    headers = {"host": "localhost", "content-type": "application/json"}
    scope = {
        **{"type": "http", "method": "POST", "path": path, "query_string": b""},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await read.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    async def let_go() -> None:
        while not guard.calls:
            await asyncio.sleep(0.001)
        read.set()
        await asyncio.sleep(0.05)
        guard.go.set()

    read, letting = asyncio.Event(), asyncio.create_task(let_go())
    await create_app(service, Access(allowed_hosts(())))(scope, receive, send)
    await letting


@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/completions", {"prompt": ["hello"] * 320}),
        ("/v1/moderations", {"input": ["hello"] * 320}),
    ],
)
def test_a_guard_is_asked_no_more_for_who_has_hung_up(
    tmp_path: Path, path: str, body: Mapping[str, Any]
) -> None:
    """320 prompts are 10 calls, or 20 of texts that may be prompts or responses: the client leaves
    in the first one. What another asks for then is the second."""
    guard, arms = Hanging(), {"fake": fake_arm(lambda *_: "fine")}
    checking = Checking(guard, "No.", 0)
    service = Service(arms, Worker(gather=0), checking, log=UsageLog(tmp_path))

    async def work() -> int:
        await hang_up(service, guard, path, {"model": "fake"} | dict(body))
        await checking.check([Prompt("", "another")], None)
        return guard.calls

    assert asyncio.run(work()) == 2
    assert [row["status"] for row in lines(tmp_path) if "status" in row] == [499]
    service.worker.close()
