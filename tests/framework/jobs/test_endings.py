"""Exit codes, and what a person sees when a run ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from preflab import NumericError, PluginError, StorageError, UserError, Waiting, signals
from preflab.jobs.endings import exit_code, show
from preflab.signals import Stopped


@pytest.mark.parametrize(
    "error,code",
    [
        (UserError("x"), 2),
        (PluginError("x"), 3),
        (StorageError("x"), 4),
        (NumericError("x"), 5),
        (Waiting("x"), 6),
        (OSError(errno.ENOSPC, "full"), 4),
        (FileNotFoundError(errno.ENOENT, "absent"), 1),
        (Stopped(15), 143),
        (KeyboardInterrupt(), 130),
        (SystemExit(7), 7),
        (SystemExit("a message"), 1),
        (ValueError("x"), 1),
    ],
    ids=repr,
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "error,text",
    [
        (UserError("seed is -1"), "preflab: seed is -1\n"),
        (Stopped(2), "preflab: stopped; give the same command again to resume\n"),
        (OSError(errno.EROFS, "Read-only", "/x"), "preflab: the disk refused: Read-only: /x\n"),
        (SystemExit(3), ""),
    ],
    ids=repr,
)
def test_what_a_person_can_mend_is_one_line(
    error: BaseException, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(error, tmp_path / "error.txt")
    assert capsys.readouterr().err == text
    log = tmp_path / "error.txt"
    assert (log.read_text() if log.exists() else "") == text


def test_a_process_whose_starter_is_gone_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    """Its parent is no process with this id: it has ended, as after kill -9."""
    child = os.fork()
    if child == 0:
        signals._STARTERS[:] = [os.getpid(), 0]
        show(Stopped(15))
        os._exit(0)
    os.waitpid(child, 0)
    show(Stopped(15))  # this one was started by nobody of ours
    stopped = "preflab: stopped{}; give the same command again to resume\n"
    gone = stopped.format(", since the process that started it is gone")
    assert capfd.readouterr().err == gone + stopped.format("")


def test_anything_else_is_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("unexpected")
    except ValueError as error:
        show(error)
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: unexpected\n")
