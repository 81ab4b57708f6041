"""A server in a process of its own, which can be killed, and people who are programs.

with Serving(folder / "store.sqlite") as server:
    person = Robot(server.port, token)
    person.work(lambda task: {"ranks": [1, 2, 3]})
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from preflab_people.server.serving import serve
from preflab_people.server.sessions import stored_secret
from preflab_people.server.settings import ServerSettings, read_examples
from preflab_people.store import Store

path, port = Path(sys.argv[1]), int(sys.argv[2])
examples = path.with_name("examples.jsonl")
settings = ServerSettings(
    stored_secret(path.with_name("secret")),
    examples=read_examples(examples) if examples.exists() else (),
    survey=path.with_name("survey.jsonl"),
    submissions=1_000_000,
)
with Store.open(path, serving=True) as store:
    serve(store, settings, port=port, announce=lambda text: None,
          ready=lambda base: print(base, flush=True))
"""


class Serving:
    """A server process on one port, however often it is started."""

    def __init__(self, store: Path) -> None:
        self.store, self.port = store, 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        words = [sys.executable, "-c", PROGRAM, str(self.store), str(self.port)]
        paths = os.pathsep.join(str(ROOT / name) for name in ("framework", "plugins"))
        log = self.store.with_name("server.log").open("a")
        with log:
            self._process = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
            )
        assert self._process.stdout is not None
        base = self._process.stdout.readline().strip()
        assert base, self.store.with_name("server.log").read_text()[-3000:]
        self.port = int(base.rpartition(":")[2])

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/statm").read_text()
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """As if the power went."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator stops it; its exit code."""
        return self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._end(signal.SIGKILL)


Answering = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Robot:
    """A person's browser without the browser: it sends what the page would send, and tries again
    as the page does. acknowledged: keys of answers that the server said it has."""

    def __init__(self, port: int, token: str, patience: float = 60.0) -> None:
        self.port, self.token, self.patience = port, token, patience
        self.acknowledged: list[str] = []
        self.tries = 0
        self._connection: http.client.HTTPConnection | None = None
        self._cookie = ""

    def login(self) -> Mapping[str, Any]:
        """Exchange the token for a cookie."""
        return self.call("login", {"token": self.token})

    def work(self, answering: Answering, seen: Callable[[], None] = lambda: None) -> None:
        """Do tasks until there are no more. seen: called after each answer."""
        try:
            self.login()
            while (given := self.call("task", {}))["next"] == "/task":
                self.submit(given, answering(given["task"]))
                seen()
        finally:
            self.close()

    def submit(self, given: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Send one answer until the server has it."""
        key = f"{given['task']['id']}-{os.urandom(8).hex()}"
        version = given["instructions"]["version"]
        body = {"task": given["task"]["id"], "key": key, "answer": answer, "seconds": 1.5}
        self.call("submit", {**body, "instructions": version})
        self.acknowledged.append(key)

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """One request, again and again while nobody answers."""
        until = time.monotonic() + self.patience
        while True:
            try:
                status, said = self._once(path, body)
            except (OSError, http.client.HTTPException):
                self.close()
                status, said = 0, {}
            if status == 200:
                return said
            if status not in (0, 429, 503) or time.monotonic() > until:
                raise AssertionError(f"{path}: {status} {said}")
            self.tries += 1
            time.sleep(0.05)

    def _once(self, path: str, body: Mapping[str, Any] | None) -> tuple[int, Mapping[str, Any]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"cookie": self._cookie} if self._cookie else {}
        if body is None:
            self._connection.request("GET", f"/api/{path}", headers=headers)
        else:
            headers |= {"origin": f"http://127.0.0.1:{self.port}", "x-preflab": "1"}
            headers["content-type"] = "application/json"
            self._connection.request("POST", f"/api/{path}", json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        if (cookie := response.headers.get("set-cookie")) is not None:
            self._cookie = cookie.partition(";")[0]
        return response.status, json.loads(content)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None
