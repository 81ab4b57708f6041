"""What is left of runs that are killed: their state is true, and nothing goes on without them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from end_to_end.runs import ended, killed, start
from preflab.storage.runs import process_mark, runs_below

SLOW = """
import os
import time
from preflab import hookimpl


@hookimpl
def preflab_step_finished(stage, step):
    with open("at_work", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(1)
"""
FAST = ("debug=fast", "algorithm=none", "reward_model=none", "labeler=none", "evaluation=none")


@pytest.mark.reliability
def test_the_job_of_a_killed_multirun_ends_and_its_state_is_true(tmp_path: Path) -> None:
    """The short forms are in tests/framework/test_signals.py and tests/framework/storage."""
    (tmp_path / "slow.py").write_text(SLOW)
    words = ("--plugin", str(tmp_path / "slow.py"), "-m", "name=grid", *FAST, "seed=1,2")
    multirun = start(tmp_path, *words)
    noted, limit = tmp_path / "at_work", time.monotonic() + 200
    while not (noted.is_file() and noted.read_text()):
        assert time.monotonic() < limit, (tmp_path / "log.txt").read_text()
        time.sleep(0.05)
    job = int(noted.read_text())
    (run,) = runs_below(tmp_path / "runs")
    assert run.state == "running"
    assert multirun.pid is not None
    os.kill(multirun.pid, signal.SIGKILL)
    assert ended(multirun) == -signal.SIGKILL
    while process_mark(job):
        assert time.monotonic() < limit, "the job goes on"
        time.sleep(0.05)
    (run,) = runs_below(tmp_path / "runs")
    assert (run.folder.name, run.state) == ("0", "stopped")  # it has saved a checkpoint


@pytest.mark.reliability
def test_a_killed_run_does_not_stay_running(tmp_path: Path) -> None:
    killed(tmp_path, "pretrain", 0, "name=alone", *FAST)
    (run,) = runs_below(tmp_path / "runs")
    assert (run.manifest["status"], run.state) == ("running", "killed")
