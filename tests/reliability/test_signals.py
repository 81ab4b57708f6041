"""SIGTERM and SIGINT: a checkpoint within one step and exit 143 or 130; a second signal ends the
run immediately; no save hangs forever."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from end_to_end.runs import ended, preflab, start
from preflab.storage import checkpoints
from preflab.storage.artifacts import METRICS, STATE, read_rows
from reliability.injection import forked
from reliability.test_sweeps import SIGNALS, _until
from reliability.trouble import WORDS
from reliability.walk import make


def _newest(folder: Path) -> Path:
    return max(folder.glob("artifacts/*.partial/.state/step-*"))


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_run_stops_after_its_step_with_a_checkpoint(tmp_path: Path, signum: int) -> None:
    child = start(
        tmp_path,
        *WORDS,
        "algorithm.how=slow",
        "checkpoint.every_steps=null",
        "checkpoint.every_seconds=1000",
    )

    def rows() -> list[dict[str, Any]]:
        return [
            row
            for path in tmp_path.glob(f"artifacts/*.partial/{METRICS}")
            for row in read_rows(path)
        ]

    _until(lambda: len(rows()) > 3, child)
    assert child.pid is not None
    os.kill(child.pid, signum)
    assert ended(child) == 128 + signum, (tmp_path / "log.txt").read_text()[-2000:]
    step, _ = checkpoints.load(_newest(tmp_path))
    assert step == len(rows())  # of the last step that was done, and none was done twice
    (run,) = tmp_path.glob("runs/config/*")
    assert json.loads((run / "manifest.json").read_text())["status"] == "stopped"
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_second_signal_ends_a_step_that_hangs(tmp_path: Path, signum: int) -> None:
    child = start(tmp_path, *WORDS, "algorithm.how=hang")
    _until((tmp_path / "hanging").exists, child)
    assert child.pid is not None
    os.kill(child.pid, signum)
    time.sleep(1.2)  # within a second it would be the same request, passed on by a launcher
    assert child.exitcode is None  # the first one waits for the step
    os.kill(child.pid, signum)
    asked = time.monotonic()
    assert ended(child) == 128 + signum
    assert time.monotonic() - asked < 20  # the step would have lasted a minute
    # That of the step before, nothing is saved in the middle of one.
    assert checkpoints.load(_newest(tmp_path))[0] == 1
    (tmp_path / "mended").touch()
    assert preflab(tmp_path, *WORDS, "algorithm.how=hang") == 0


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_before_the_first_step_ends_the_run(tmp_path: Path, signum: int) -> None:
    child = start(tmp_path, *WORDS, "algorithm.how=slow_start")
    _until((tmp_path / "starting").exists, child)
    assert child.pid is not None
    os.kill(child.pid, signum)
    assert ended(child) == 128 + signum, (tmp_path / "log.txt").read_text()[-2000:]
    (run,) = tmp_path.glob("runs/config/*")
    assert json.loads((run / "manifest.json").read_text())["status"] == "stopped"


def test_a_save_that_hangs_ends_the_job(tmp_path: Path) -> None:
    def work() -> None:
        handle = os.open(tmp_path / "said.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, 2)
        real = os.fsync

        def hangs(fd: Any) -> None:
            real(fd)
            if f"{STATE}/tmp-" in os.readlink(f"/proc/self/fd/{fd}"):
                time.sleep(60)

        os.fsync = hangs
        make(tmp_path / "artifacts", limit=0.5)

    started = time.monotonic()
    assert forked(work) == 4
    assert time.monotonic() - started < 30
    assert (
        "the checkpoint of sft after step 1 did not finish within 0.5 seconds: the disk hangs"
        in (tmp_path / "said.txt").read_text()
    )
