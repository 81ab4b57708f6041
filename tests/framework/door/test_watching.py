"""The watch over hooks: who is named and when, that output is bounded, and that a progress bar may keep a stream."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import pytest

from preflab.door.watching import Watch, bounded


def _told(watch: Watch, later: float) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch.look(time.monotonic() + later)
    return [str(w.message) for w in caught]


def test_a_hook_is_named_once_when_its_time_is_up() -> None:
    watch = Watch(seconds=30)
    try:
        assert _told(watch, 1000) == []  # nothing runs
        with watch.over("plugin 'a' (a 1)", "a_hook"):
            assert _told(watch, 29) == []
            (text,) = _told(watch, 40)
            assert text.startswith("plugin 'a' (a 1) has been in a_hook for 40 s")
            assert _told(watch, 50) == []  # once
            with watch.over("plugin 'b' (b 2)", "b_hook"):  # from inside it
                assert "plugin 'b' (b 2) has been in b_hook" in _told(watch, 31)[0]
        with watch.over("plugin 'a' (a 1)", "another_hook"):
            assert "plugin 'a' (a 1) has been in another_hook" in _told(watch, 31)[0]
        assert _told(watch, 1000) == []
    finally:
        watch.stop()


def test_a_thread_looks_by_itself_and_ends_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, before = threading.Event(), set(threading.enumerate())
    watch = Watch(seconds=0.003)
    monkeypatch.setattr(watch, "look", lambda now: looked.set())
    with watch.over("plugin 'a' (a 1)", "a_hook"):
        assert looked.wait(60)  # it comes in milliseconds: this is for a test that fails
    watch.stop()
    assert set(threading.enumerate()) <= before


def test_a_forked_process_gets_a_thread_of_its_own() -> None:
    watch = Watch(seconds=60)
    with watch.over("plugin 'a' (a 1)", "a_hook"):
        child = os.fork()
        if child == 0:
            with watch.over("plugin 'a' (a 1)", "a_hook"):
                os._exit(
                    threading.active_count()
                )  # the main thread and the watch: the parent's stayed behind
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    watch.stop()


def test_output_within_the_limit_passes_and_the_rest_is_dropped_with_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout, sys.stderr
    with bounded("plugin 'a' (a 1)", "a_hook", limit=10):
        print("0123")
        print("error", file=sys.stderr)
    with (
        warnings.catch_warnings(record=True) as caught,
        bounded("plugin 'a' (a 1)", "a_hook", limit=10),
    ):
        warnings.simplefilter("always")
        print("0123456")  # 8 with its line feed
        sys.stdout.writelines(["89", "abc"])  # 2 fit, 3 do not
    (warning,) = caught
    assert "plugin 'a' (a 1) printed 13 characters or more in one call of a_hook; " in str(
        warning.message
    )
    assert (sys.stdout, sys.stderr) == before
    found = capsys.readouterr()
    assert found.out == "0123\n0123456\n89"
    assert found.err == "error\n"


def test_a_stream_that_was_kept_goes_on_without_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """A progress bar keeps sys.stdout when it starts, puts its own in place, and restores what it kept when it stops."""
    real = sys.stdout
    with bounded("plugin 'a' (a 1)", "a_hook", limit=3):
        kept, own = sys.stdout, sys.__stdout__
        sys.stdout = own
    assert sys.stdout is own  # not ours to take away
    sys.stdout = kept
    print("more than three")
    sys.stdout = real
    assert capsys.readouterr().out == "more than three\n"


def test_other_threads_are_not_limited(capsys: pytest.CaptureFixture[str]) -> None:
    with bounded("plugin 'a' (a 1)", "a_hook", limit=3):
        thread = threading.Thread(target=print, args=("from elsewhere",))
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "from elsewhere\n"
