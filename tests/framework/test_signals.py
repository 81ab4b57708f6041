"""A request to stop: the first signal is remembered, a later one ends the process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from preflab.signals import (
    Stopped,
    StopRequest,
    end_with,
    ends_before,
    process_here,
    process_name,
)
from reliability.injection import forked


def test_the_first_signal_is_remembered_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    request = StopRequest()
    with request.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # within a second: the same request, passed on
    assert request.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_without_steps_is_stopped_where_it_is() -> None:
    with pytest.raises(Stopped) as stopped, StopRequest(at_once=True).listening():
        os.kill(os.getpid(), signal.SIGINT)
    assert stopped.value.exit_code == 130


def test_a_signal_after_a_second_ends_the_process() -> None:
    def work() -> None:
        request = StopRequest()
        with request.listening():
            os.kill(os.getpid(), signal.SIGTERM)
            request.at -= 1.1
            os.kill(os.getpid(), signal.SIGTERM)

    assert forked(work) == 143


def test_a_process_ends_with_its_parent_even_if_that_is_killed() -> None:
    """The pipe is at its end when nobody holds it open any more."""
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        me = os.getpid()
        if os.fork() == 0:
            end_with(me)
            os.write(write, b"!")
            time.sleep(60)
        os.write(write, b"?")
        time.sleep(60)
    os.close(write)
    assert b"".join(sorted([os.read(read, 1), os.read(read, 1)])) == b"!?"
    began = time.monotonic()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(read, 1) == b""
    assert time.monotonic() - began < 30


def test_elsewhere_a_thread_looks_for_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has the signal within the second that it sleeps between two looks."""
    monkeypatch.setattr("sys.platform", "another")
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        me = os.getpid()
        if os.fork() == 0:
            end_with(me)
            os.write(write, b"!")
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
    os.close(write)
    assert os.read(read, 1) == b"!"
    began = time.monotonic()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(read, 1) == b""
    os.close(read)
    assert time.monotonic() - began < 30


def _sleeper() -> int:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


@pytest.mark.parametrize("first", [True, False])
def test_which_of_two_processes_ends_first(first: bool) -> None:
    starter, job = _sleeper(), _sleeper()
    ended, other = (starter, job) if first else (job, starter)
    try:
        os.kill(ended, signal.SIGKILL)  # not yet waited for, as a shell leaves it for a moment
        assert ends_before(starter, job) is first
        os.waitpid(ended, 0)
        if first:
            assert ends_before(starter, job)  # it had ended before anybody asked
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_a_process_is_known_on_its_own_machine_alone() -> None:
    name = process_name()
    space, _, number = name.rpartition(" ")
    assert int(number) == os.getpid()
    assert process_here(name) == 0  # this one
    assert process_here(f"{space} 1") == 1
    assert process_here(f"elsewhere {space.split()[1]} 1") == 0  # another machine
    assert process_here(f"{space.split()[0]} pid:[1] 1") == 0  # another container
    assert process_here("") == 0
