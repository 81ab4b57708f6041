"""A request to stop: the first signal is remembered, a later one ends the process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from preflab.signals import Stopped, StopRequest, end_with
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
