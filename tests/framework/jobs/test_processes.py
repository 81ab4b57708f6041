"""Several processes of one job: their environment, and the end of all when one fails."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from preflab import StorageError
from preflab.jobs import processes


def command(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\nrank = os.environ['RANK']\n{code}"]


def test_each_process_knows_its_rank_and_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all see the GPUs of their job."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    names = ("WORLD_SIZE", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "MASTER_ADDR", "MASTER_PORT")
    code = f"open(rank, 'w').write(' '.join(os.environ[n] for n in {names}))"
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert processes.start(2, command(code)) == 0
    finally:
        os.chdir(here)
    first, second = ((tmp_path / rank).read_text().split() for rank in "01")
    assert (first[:3], second[:3]) == (["2", "0", "2,3"], ["2", "1", "2,3"])
    assert first[3:] == second[3:]


def test_when_one_fails_the_others_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    started = time.monotonic()
    assert processes.start(2, command("time.sleep(60) if rank == '0' else sys.exit(5)")) == 5
    assert time.monotonic() - started < 30


def test_the_code_that_says_what_to_do_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 0 ends with 1 because process 1 is about to end with 4."""
    monkeypatch.setattr(processes, "GRACE", 5.0)
    assert processes.start(2, command("time.sleep(int(rank)); sys.exit((1, 4)[int(rank)])")) == 4


def test_the_log_has_what_a_person_can_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lost, reason = tmp_path / "error.txt", RuntimeError("peer"), StorageError("full")
    for rank, error, expected in (("1", lost, None), ("0", lost, log), ("1", reason, log)):
        monkeypatch.setenv("RANK", rank)
        assert processes._log(error, log) == expected
    log.write_text("process 1: full")
    monkeypatch.setenv("RANK", "0")
    assert processes._log(lost, log) is None


def test_a_killed_process_is_128_and_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    code = "os.kill(os.getpid(), 9) if rank == '1' else time.sleep(60)"
    assert processes.start(2, command(code)) == 137


def test_what_torchrun_says_of_its_own_processes_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch would wait for the store of torchrun's agent until it gives up."""
    of_torchrun = ("TORCHELASTIC_USE_AGENT_STORE", "GROUP_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME")
    for name in (*of_torchrun, "ROLE_OF_MINE"):
        monkeypatch.setenv(name, "1")
    file = tmp_path / "seen"
    assert processes.start(1, command(f"open({str(file)!r}, 'w').write(' '.join(os.environ))")) == 0
    seen = file.read_text().split()
    assert not {*of_torchrun} & {*seen}
    assert "ROLE_OF_MINE" in seen


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            # The first one loses the second and is aborted.
            "os.kill(os.getpid(), 9 if rank == '1' else 6)",
            "process 1 of 2 was killed by SIGKILL; .*the last checkpoint. .* run out of memory",
        ),
        (
            "os.kill(os.getpid(), 11) if rank == '0' else sys.exit(1)",
            r"process 0 of 2 was killed by SIGSEGV; .* from the last checkpoint\.\n$",
        ),
        ("os.kill(os.getpid(), 9) if rank == '0' else (time.sleep(1), sys.exit(4))", ""),
        ("sys.exit(1)", ""),
    ],
)
def test_the_last_that_is_read_is_which_process_was_killed(
    code: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless another says what a person can mend."""
    monkeypatch.setattr(processes, "GRACE", 5.0)
    assert processes.start(2, command(code))
    err = capsys.readouterr().err
    assert re.match(f"preflab: {said}", err) if said else not err


def test_a_process_that_was_stopped_is_not_said_to_be_killed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It sleeps, and is ended because the other has failed."""
    monkeypatch.setattr(processes, "GRACE", 0.2)
    assert processes.start(2, command("time.sleep(60) if rank == '0' else sys.exit(1)")) == 1
    assert capsys.readouterr().err == ""


def test_the_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    assert processes.start(1, command("pass")) == 0
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == before
