"""How the benchmark and its workers talk: one answer per turn, and a reason when one dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.channel import Worker

ECHO = """
import sys
from benchmarks.channel import Turns, job_of
turns, job = Turns(), job_of(sys.argv)
print("a library says hello")
turns.answer(ready=True)
while True:
    command = turns.wait()
    if command["do"] == "die":
        raise SystemExit("out of luck")
    turns.answer(done=command["do"], size=job["size"])
"""


def _worker(tmp_path: Path) -> Worker:
    (tmp_path / "echo_worker.py").write_text(ECHO, encoding="utf8")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    return Worker(
        sys.executable,
        "echo_worker",
        {"name": "echo", "size": "tiny"},
        environment,
        tmp_path / "log.txt",
    )


def test_workers_answer_in_turn_despite_what_libraries_print(tmp_path: Path) -> None:
    with _worker(tmp_path) as first, _worker(tmp_path) as second:
        answers = [worker.ask(what) for what in ("step", "judge") for worker in (first, second)]
    assert [(a["done"], a["size"]) for a in answers] == [
        ("step", "tiny"),
        ("step", "tiny"),
        ("judge", "tiny"),
        ("judge", "tiny"),
    ]
    assert all(a["peak_mb"] > 1 for a in answers)


def test_a_worker_that_dies_says_why(tmp_path: Path) -> None:
    with (
        _worker(tmp_path) as worker,
        pytest.raises(RuntimeError, match=r"(?s)echo_worker.*exit code 1.*out of luck"),
    ):
        worker.ask("die")
