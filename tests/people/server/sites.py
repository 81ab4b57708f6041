"""A small round and its server in this process, and a browser that is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from preflab.records import Prompt
from preflab_people.judgments import Answer, Origin, Task, task_id
from preflab_people.server.app import create_app
from preflab_people.server.settings import ServerSettings
from preflab_people.store import Invitation, RoundSettings, Store

HOST = "127.0.0.1:8787"
ORIGIN = f"http://{HOST}"
SECRET = "a secret of more than 32 characters"
OWN = {"origin": ORIGIN, "x-preflab": "1"}
"""Headers of a page's own requests."""
keys = (f"key-{number:08}" for number in itertools.count())


def ranking(name: str, responses: Sequence[str], origin: Origin = "normal", **more: Any) -> Task:
    """A task to rank some responses."""
    prompt = Prompt(name, f"Prompt {name}.")
    expected = None if origin == "normal" else Answer(tuple(range(1, len(responses) + 1)))
    values: dict[str, Any] = {"prompt": prompt, "expected": expected, **more}
    identity = task_id("rank", values["prompt"], responses, origin)
    return Task(
        **{
            "id": identity,
            "kind": "rank",
            "responses": tuple(responses),
            "origin": origin,
            **values,
        }
    )


def three(count: int) -> list[Task]:
    """Tasks with three responses each."""
    return [ranking(f"p{n}", [f"first {n}", f"second {n}", f"third {n}"]) for n in range(count)]


@dataclass
class Clock:
    """A clock that stands until it is moved. Seconds since 1970."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A round, its server, and requests as the pages make them."""

    store: Store
    settings: ServerSettings
    clock: Clock
    client: TestClient
    people: list[Invitation] = field(default_factory=list)

    def invite(self, **values: Any) -> Invitation:
        """One more person."""
        self.people.append(self.store.invite(**values, now=self.clock()))
        return self.people[-1]

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] = OWN) -> Any:
        """What a page would send."""
        return self.client.post(f"/api/{path}", json={} if body is None else body, headers=headers)

    def get(self, path: str) -> Any:
        """What a page would ask, as JSON."""
        response = self.client.get(f"/api/{path}")
        assert response.status_code == 200, response.text
        return response.json()

    def task(self) -> Any:
        """The person's task, as JSON."""
        response = self.post("task")
        assert response.status_code == 200, response.text
        return response.json()

    def login(self, person: Invitation | None = None) -> Any:
        """Sign a person in, by default a new one."""
        self.client.cookies.clear()
        response = self.post("login", {"token": (person or self.invite()).token})
        assert response.status_code == 200, response.text
        return response.json()

    def submission(self, given: Mapping[str, Any], **answer: Any) -> dict[str, Any]:
        """A submission of the task that `task()` gave; by default the first is the best."""
        count = len(given["task"]["outputs"])
        return {
            "task": given["task"]["id"],
            "key": next(keys),
            "answer": answer or {"ranks": list(range(1, count + 1))},
            "seconds": 12.5,
            "instructions": given["instructions"]["version"],
        }


@contextmanager
def a_site(
    folder: Path,
    tasks: Sequence[Task],
    server: Mapping[str, Any] | None = None,
    base_url: str = ORIGIN,
    **changes: Any,
) -> Iterator[Site]:
    """A new round and its server. server: settings of the server; changes: of the round."""
    quiet = {"name": "spring", "kind": "rank", "gold_share": 0.0, "retest_share": 0.0}
    clock = Clock()
    store = Store.create(
        folder / "store.sqlite", RoundSettings(**{**quiet, **changes}), tasks, now=clock()
    )
    settings = ServerSettings(SECRET, **(server or {}))
    app = create_app(store, settings, clock)
    try:
        with TestClient(app, base_url=base_url, raise_server_exceptions=False) as client:
            yield Site(store, settings, clock, client)
    finally:
        store.dispose()
