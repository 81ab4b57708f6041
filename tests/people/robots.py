"""Robots that label over HTTP, as a browser does: a link, a cookie, tasks by place, one key for
each submission."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx

Judge = Callable[[str, Sequence[str]], Sequence[int] | Mapping[str, Any]]
"""The prompt's text and the outputs in the order on the page, to a rank for each, or to an answer
as the page sends it."""
LINK = re.compile(r"^  labeler-\w+  (http://[\d.:]+)/#([\w-]+)$")
TRIES = 60


class Server:
    """``preflab label WORDS`` as a process of its own, in a folder."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "preflab", "label", *words, "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.links: list[tuple[str, str]] = []
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := LINK.match(line.rstrip()):
                self.links.append((found[1], found[2]))
            if line.startswith("And then:"):
                break
        else:
            self.process.communicate(timeout=60)
            raise AssertionError("".join(self.said))

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=60)
        self.said.append(rest)
        return self.process.returncode


class Robot:
    """One person at one browser. seen: everything that the server ever sent."""

    def __init__(self, base: str, token: str) -> None:
        headers = {"origin": base, "x-preflab": "1"}
        self.client = httpx.Client(base_url=base, headers=headers, timeout=60)
        self.seen: list[str] = []
        self.post("login", {"token": token})

    def post(self, name: str, body: dict[str, Any]) -> Any:
        """A POST, again while the server asks for patience."""
        for _ in range(TRIES):
            answer = self.client.post(f"/api/{name}", json=body)
            if answer.status_code not in (429, 503):
                break
            time.sleep(float(answer.headers.get("retry-after", 1)))
        assert answer.status_code == 200, answer.text
        self.seen.append(answer.text)
        return answer.json()

    def get(self, path: str) -> Any:
        """A GET of the API."""
        answer = self.client.get(f"/api/{path}")
        assert answer.status_code == 200, answer.text
        self.seen.append(answer.text)
        return answer.json()

    def work(self, judge: Judge) -> int:
        """Label until there is nothing left; how many tasks."""
        for path in ("/", "/task", "/instructions"):
            self.seen.append(self.client.get(path).text)
        for number in range(100_000):
            given = self.post("task", {})
            if given["next"] == "/consent":
                self.post("consent", {"version": self.get("consent")["version"]})
                continue
            if given["next"] != "/task":
                return number
            task = given["task"]
            text = "\n".join(turn["text"] for turn in task["turns"])
            said = judge(text, task["outputs"])
            body = {
                "task": task["id"],
                "key": str(uuid.uuid4()),
                "answer": said if isinstance(said, Mapping) else {"ranks": list(said)},
                "seconds": 1.5,
                "instructions": given["instructions"]["version"],
            }
            self.post("submit", body)
        raise AssertionError("it never ends")


def label_all(server: Server, *judges: Judge) -> list[Robot]:
    """A robot for each link; they work at the same time. judges: in turn, one for all or several
    who differ."""
    robots = [Robot(*link) for link in server.links]
    with ThreadPoolExecutor(len(robots)) as pool:
        list(pool.map(Robot.work, robots, cycle(judges)))
    for robot in robots:
        robot.client.close()
    return robots
