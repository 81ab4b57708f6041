"""Twelve jobs of which six fail in six ways, two sweeps in one second, Ctrl-C: the other jobs
finish, and the ledger is complete."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from end_to_end.runs import ended, preflab, start
from preflab.jobs import job
from preflab.jobs.places import Places
from preflab.storage import run_folder
from preflab.storage.artifacts import read_rows
from reliability.trouble import WORDS
from support import represented_by

FAILURES = {
    "raise": (3, "raised on purpose"),  # a component's error is its plugin's
    "sys_exit": (3, "SystemExit: 7"),
    "os_exit": (1, "ended with exit code 0 before it had finished"),
    "sigkill": (137, "killed by SIGKILL"),
    "sigsegv": (139, "killed by SIGSEGV"),
    "memory": (3, "MemoryError"),
}
SIGNALS = represented_by([signal.SIGTERM], [signal.SIGINT, signal.SIGTERM])
# Good and bad ones in turn, so that each failure has jobs after it.
JOBS = [job for pair in zip(FAILURES, (f"ok{i}" for i in range(6)), strict=True) for job in pair]


def _ledger(sweep: Path) -> list[dict[str, Any]]:
    return sorted(read_rows(sweep / "ledger.jsonl"), key=lambda row: int(row["job"]))


def _until(condition: Callable[[], Any], child: Any) -> None:
    while not condition():
        assert child.exitcode is None, "it has ended"
        time.sleep(0.01)


def test_a_cut_line_of_the_ledger_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, ledger = os.write, tmp_path / run_folder.LEDGER

    def writes(refusing: bool) -> Callable[[int, Any], int]:
        """Five bytes at a time; of a full disk the second write is refused."""
        done = []

        def write(handle: int, data: Any) -> int:
            done.append(handle)
            if refusing and len(done) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(handle, bytes(data)[:5])

        return write

    for number, refusing in enumerate((False, True, False)):
        monkeypatch.setattr(os, "write", writes(refusing))
        run_folder.append_to_ledger(tmp_path, {"job": number})  # type: ignore[typeddict-item]
    monkeypatch.undo()
    assert ledger.read_bytes().splitlines() == [b'{"job": 0}', b'{"job', b'{"job": 2}']
    assert [row["job"] for row in run_folder.read_ledger(tmp_path)] == [0, 2]
    where = Places(tmp_path, tuple(tmp_path / str(number) for number in range(3)))
    job.add_missing_lines(where, [("a=1",)] * 3)
    assert [(row["job"], row.get("exit_code")) for row in run_folder.read_ledger(tmp_path)] == [
        (0, None),
        (2, None),
        (1, 1),
    ]


def test_jobs_after_two_that_fail_finish(tmp_path: Path) -> None:
    _sweep(tmp_path, ["os_exit", "ok0", "sigsegv", "ok1"])


@pytest.mark.reliability
def test_jobs_after_six_that_fail_finish(tmp_path: Path) -> None:
    _sweep(tmp_path, JOBS)


def _sweep(tmp_path: Path, jobs: list[str]) -> None:
    words = ("-m", *WORDS, f"algorithm.how={','.join(jobs)}")
    bad = [how for how in jobs if how in FAILURES]
    assert preflab(tmp_path, *words) == 1, (tmp_path / "log.txt").read_text()[-3000:]
    (sweep,) = tmp_path.glob("runs/config/*")
    log, rows = (tmp_path / "log.txt").read_text(), _ledger(sweep)
    assert [row["job"] for row in rows] == list(range(len(jobs)))
    assert f"{len(bad)} job(s) failed; give the same command again to run only them" in log
    for row, how in zip(rows, jobs, strict=True):
        code, said = FAILURES.get(how, (0, ""))
        assert (row["exit_code"], row["status"]) == (code, "failed" if code else "ok"), row
        assert said in row["error"], row
        assert f"algorithm.how={how}" in row["overrides"]
        if code:
            assert f"job {row['job']} (" in log
            assert row["error"] in log
        if how in ("raise", "sigsegv", "memory"):  # what a person needs to find the place
            assert str(Path("runs/config") / sweep.name / row["log"]) in log
            assert "trouble" in (sweep / row["log"]).read_text()
    assert len(list(tmp_path.glob("artifacts/algorithm-*/done.txt"))) == len(jobs) - len(bad)

    (tmp_path / "mended").touch()
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    again = max(tmp_path.glob("runs/config/*"), key=lambda p: p.stat().st_mtime_ns)
    computed = {
        how: json.loads((again / str(i) / "summary.json").read_text())["computed"]
        for i, how in enumerate(jobs)
    }
    assert computed == {how: ["algorithm"] if how in FAILURES else [] for how in jobs}
    assert {row["status"] for row in _ledger(again)} == {"ok"}


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_stopped_sweep_leaves_a_complete_ledger(tmp_path: Path, signum: int) -> None:
    words = ("-m", *WORDS, "algorithm.how=ok0,slow,ok1,ok2")
    child = start(tmp_path, *words)

    def second_job_runs() -> bool:
        return any(tmp_path.glob("runs/config/*/ledger.jsonl")) and any(
            tmp_path.glob("artifacts/*.partial/.state/step-*")
        )

    _until(second_job_runs, child)
    assert child.pid is not None
    os.kill(child.pid, signum)  # to the sweep alone, as a scheduler does; it passes it on
    assert ended(child) == 128 + signum, (tmp_path / "log.txt").read_text()[-3000:]
    (sweep,) = tmp_path.glob("runs/config/*")
    rows = _ledger(sweep)
    assert [(row["job"], row["status"], row["exit_code"]) for row in rows] == [
        (0, "ok", 0),
        (1, "failed", 128 + signum),
        (2, "not started", 1),
        (3, "not started", 1),
    ]
    assert json.loads((sweep / "1" / "manifest.json").read_text())["status"] == "stopped"
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def _folder(root: str, ready: Any, found: Any) -> None:
    os.chdir(root)
    ready.wait()
    found.put(str(run_folder.new_folder(Path("runs/config"))))


def test_run_folders_of_the_same_instant_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight pairs of processes that draw one of 8 suffixes: names collide, folders never."""
    monkeypatch.setattr("secrets.token_hex", lambda size: str(os.urandom(1)[0] % 8))
    context = multiprocessing.get_context("fork")
    found: Any = context.Queue()
    for _ in range(8):
        ready = context.Event()
        both = [
            context.Process(target=_folder, args=(str(tmp_path), ready, found)) for _ in range(2)
        ]
        for process in both:
            process.start()
        ready.set()
        for process in both:
            process.join(20)
            assert process.exitcode == 0
    names = [found.get(timeout=5) for _ in range(16)]
    assert len(set(names)) == 16


@pytest.mark.reliability
def test_two_sweeps_in_one_second_share_no_folder_twenty_times(tmp_path: Path) -> None:
    words = ("-m", *WORDS, "algorithm.how=ok0,ok1")
    for number in range(20):
        both = [start(tmp_path, *words) for _ in range(2)]
        assert [ended(child) for child in both] == [0, 0]
        sweeps = sorted(tmp_path.glob("runs/config/*"))
        assert len(sweeps) == 2 * (number + 1)
    for sweep in sweeps:
        assert [row["job"] for row in _ledger(sweep)] == [0, 1]  # two lines each, of its own jobs
        assert sorted(p.name for p in sweep.iterdir() if p.is_dir()) == ["0", "1"]
