"""SIGINT and SIGTERM: a loop stops after its step with a checkpoint, anything else immediately;
a second signal ends the process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType


class Stopped(BaseException):
    """The run was asked to stop (SIGINT or SIGTERM); a loop has saved a checkpoint before. exit
    code: 128 + signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


_STARTERS: list[int] = []


def end_with(parent: int, starter: int = 0) -> None:
    """Have this process sent SIGTERM when its parent, of that process id, ends, even if that one is
    killed. Linux sends it; elsewhere a thread looks every second whether the parent is there.
    starter: another process whose end the parent passes on, if there is one."""
    _STARTERS[:] = [parent, starter]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before
            os.kill(os.getpid(), signal.SIGTERM)
    else:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def left_alone() -> bool:
    """Whether the process that started this one, and with which it ends (`end_with`), is gone."""
    if not _STARTERS:
        return False
    parent, starter = _STARTERS
    return os.getppid() != parent or (starter > 0 and not Path(f"/proc/{starter}").exists())


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


_PARENT_DEATH_SIGNAL = 1


def process_name() -> str:
    """What this process is called on all machines: host, space of process ids, process id."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink(_PROCESS_IDS)} {os.getpid()}"
    return ""


_PROCESS_IDS = "/proc/self/ns/pid"


def process_here(name: str) -> int:
    """The id of another process of this machine by its name (`process_name`); 0 for one of another
    machine or container, and for this one."""
    space, _, number = name.rpartition(" ")
    own, _, _ = process_name().rpartition(" ")
    return int(number) if number.isdecimal() and space == own and name != process_name() else 0


def ends_before(first: int, second: int) -> bool:
    """Wait until one of two processes has ended; whether the first one has. Where the system cannot
    wait for both (it needs Linux) False, at once."""
    if sys.platform != "linux":
        return False
    poll, opened = select.poll(), dict[int, int]()
    try:
        for process in (first, second):
            opened[process] = os.pidfd_open(process)
            poll.register(opened[process], select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll()}
        return opened[first] in ended
    except ProcessLookupError:
        return first not in opened
    except OSError:  # a system that forbids it
        return False
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


@contextlib.contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within it the handler gets both signals, in the main thread; elsewhere they keep
    their handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a later one ends the process immediately. One that
    follows within a second is the same request, which a launcher has passed on. at_once: raise
    `Stopped` where it arrives, for work that does not consist of steps."""

    def __init__(self, at_once: bool = False) -> None:
        self.signum = 0
        self.at = 0.0
        self.at_once = at_once

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Within it signals are remembered."""
        return handling(self._remember)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            if time.monotonic() - self.at > 1:
                os._exit(128 + signum)
            return
        self.signum, self.at = signum, time.monotonic()
        if self.at_once:
            raise Stopped(signum)
        os.write(
            2, b"\npreflab: stopping after this step, with a checkpoint (again: stop immediately)\n"
        )
