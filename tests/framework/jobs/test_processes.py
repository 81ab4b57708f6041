"""Several processes of one job: their environment, and the end of all when one fails."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from preflab.jobs import processes


def command(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\nrank = os.environ['RANK']\n{code}"]


def test_each_process_knows_its_rank_and_the_others(tmp_path: Path) -> None:
    names = ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    code = f"open(rank, 'w').write(' '.join(os.environ[n] for n in {names}))"
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert processes.start(2, command(code)) == 0
    finally:
        os.chdir(here)
    first, second = ((tmp_path / rank).read_text().split() for rank in "01")
    assert (first[:2], second[:2]) == (["2", "0"], ["2", "1"])
    assert first[2:] == second[2:]


def test_when_one_fails_the_others_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    started = time.monotonic()
    assert processes.start(2, command("time.sleep(60) if rank == '0' else sys.exit(5)")) == 5
    assert time.monotonic() - started < 30


def test_a_killed_process_is_128_and_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    code = "os.kill(os.getpid(), 9) if rank == '1' else time.sleep(60)"
    assert processes.start(2, command(code)) == 137


def test_the_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    assert processes.start(1, command("pass")) == 0
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == before
