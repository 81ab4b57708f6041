"""The server as a process: it ends soon, says so to those who wait, and leaves no half lines."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from preflab_people.server.rules import allowed_hosts
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.worker import Worker
from serve.fakes import fake_arm

PROMPT = "user : what is the color of gus ? assistant :"


@pytest.mark.serve
def test_ctrl_c_ends_open_streams_and_the_process(run: Path, tmp_path: Path) -> None:
    """A stream, and an answer in one piece: both hear that the server ends, which waits for nothing
    (uvicorn would say so) and has exit code 130. On an idle machine that takes 0.5 s."""
    words = [str(run), "--port", "0", "--host", "::1", "--log", "log"]
    with subprocess.Popen(
        [sys.executable, "-m", "preflab", "serve", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        base = process.stdout.readline().split()[-1]
        assert base.startswith("http://[::1]:")
        body = {"model": "bon:base", "prompt": [PROMPT] * 500, "max_tokens": 480, "n": 4}
        found, status, started = list[str](), list[int](), threading.Event()

        def stream() -> None:
            given = body | {"stream": True}
            with httpx.stream("POST", f"{base}/completions", json=given, timeout=60) as answer:
                for line in filter(None, answer.iter_lines()):
                    found.append(line)
                    started.set()

        def whole() -> None:
            status.append(httpx.post(f"{base}/completions", json=body, timeout=60).status_code)

        threads = [threading.Thread(target=work, daemon=True) for work in (stream, whole)]
        for thread in threads:
            thread.start()
        assert started.wait(60)
        while httpx.get(f"{base.removesuffix('/v1')}/health").json()["waiting"] < 4000:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1]
        for thread in threads:
            thread.join(10)
    assert (process.returncode, said) == (130, "")
    assert json.loads(found[-1].removeprefix("data: "))["error"]["code"] == "ending"
    assert status == [503]
    rows = [*map(json.loads, next((tmp_path / "log").glob("*.jsonl")).read_text().splitlines())]
    assert [row["status"] for row in rows[1:]] == [503, 503]


def test_those_who_wait_hear_that_the_server_ends() -> None:
    """A stream ends with an error, an answer in one piece is a refusal."""
    go = threading.Event()

    def answer(prompt: str, seed: tuple[int | str, ...]) -> str:
        go.wait(10)
        return "x" * 100

    async def work() -> list[httpx.Response]:
        service = Service({"fake": fake_arm(answer)}, Worker(gather=0))
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"model": "fake", "prompt": "hello"}
            bodies = [body | {"stream": stream} for stream in (True, False)]
            asked = [
                asyncio.create_task(client.post("/v1/completions", json=one)) for one in bodies
            ]
            while service.worker.load < 2:
                await asyncio.sleep(0.005)
            service.end()
            answers = [await one for one in asked]
        go.set()
        service.worker.close()
        assert not service.open
        return answers

    stream, whole = asyncio.run(asyncio.wait_for(work(), 10))
    assert '"code":"ending"' in stream.text
    assert (whole.status_code, whole.json()["error"]["code"]) == (503, "ending")


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]", "localhost", "127.0.0.1"])
def test_all_names_of_this_machine_are_known(client: httpx.Client, host: str) -> None:
    port = client.base_url.port
    assert client.get("/health", headers={"host": f"{host}:{port}"}).status_code == 200
