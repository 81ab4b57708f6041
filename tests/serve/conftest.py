"""A run whose algorithm is best-of-n, and a server of it on a port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import uvicorn

from end_to_end.runs import preflab
from preflab_people.server.listening import listen, port_of
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm, open_arms
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.worker import Worker

WORDS = (
    *("debug=fast", "runtime.threads=1", "sft=none", "comparisons=none", "evaluation=none"),
    *("data.documents=100", "data.prompts=50", "data.demonstrations=10", "policy.layers=1"),
    *("trackers=none", "--no-plugin", "report", "name=bon"),
)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Best of two by a programmatic reward; its policy is the pretrained one."""
    folder = tmp_path_factory.mktemp("served")
    words = (*WORDS, "algorithm=best_of_n", "reward_model=length")
    assert preflab(folder, *words) == 0, (folder / "log.txt").read_text()[-2000:]
    return folder / "runs" / "config" / "bon"


@pytest.fixture(scope="session")
def arms(run: Path) -> Mapping[str, Arm]:
    """bon, bon:base, bon:result."""
    return open_arms([f"bon={run}"])


Serve = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def serve(arms: Mapping[str, Arm]) -> Iterator[Serve]:
    """Start a server with some settings; a client of it."""
    started: list[tuple[uvicorn.Server, threading.Thread, Worker, httpx.Client]] = []

    def begin(keys: Mapping[str, str] | None = None, **settings: object) -> httpx.Client:
        worker = Worker()
        access = Access(allowed_hosts(()), keys or {})
        app = create_app(Service(arms, worker, **settings), access)  # type: ignore[arg-type]
        listening = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port_of(listening)}", timeout=300)
        started.append((server, thread, worker, client))
        return client

    yield begin
    for server, thread, worker, client in started:
        client.close()
        server.should_exit = True
        thread.join(10)
        worker.close()


@pytest.fixture(scope="session")
def client(serve: Serve) -> httpx.Client:
    """A client of a server without keys and guards."""
    return serve()
