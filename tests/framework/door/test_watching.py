"""The watch over hooks: where a hook hangs is shown, and whose it is."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import textwrap
import time
import warnings

import pytest

from preflab.door import watching
from preflab.door.watching import watched


def test_a_hook_that_hangs_is_shown_with_its_line_and_then_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "SLOW_SECONDS", 0.05)

    def hangs() -> None:
        time.sleep(1)

    with (
        pytest.warns(UserWarning, match=r"plugin 'a' \(a 1\) took more than 0.05 s in a_hook, and"),
        watched("plugin 'a' (a 1)", "a_hook"),
    ):
        hangs()
    shown = capfd.readouterr().err
    assert shown.startswith("Timeout (0:00:00.050000)!")
    assert f'File "{__file__}", line ' in shown
    assert " in hangs\n" in shown


def test_an_interrupted_hook_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SLOW_SECONDS", 0.01)

    def interrupted() -> None:
        with watched("plugin 'a'", "a_hook"):
            time.sleep(0.02)
            raise KeyboardInterrupt

    with (
        pytest.warns(UserWarning, match="plugin 'a' took more than 0.01 s in a_hook"),
        pytest.raises(KeyboardInterrupt),
    ):
        interrupted()


def test_a_hook_that_ends_in_time_is_not_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cancelled: list[bool] = []
    cancel = faulthandler.cancel_dump_traceback_later
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: cancelled.append(cancel() is None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with watched("plugin 'a'", "a_hook"):
            print("what it prints is not touched")
    assert cancelled == [True]
    assert capfd.readouterr() == ("what it prints is not touched\n", "")


def test_a_process_that_is_forked_within_a_hook_ends() -> None:
    code = """
        import os
        from preflab.door.watching import watched
        with watched("plugin 'a'", "a_hook"):
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
            else:
                with watched("plugin 'a'", "a hook within it"):
                    pass
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, timeout=60)
