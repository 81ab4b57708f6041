"""Eyes on a plugin's hook while it runs: one that takes long, or prints without end, is named. Nothing is ever killed.

A hook that hangs holds up everything, and only a person can know whether it hangs or works: they are told who it is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

SLOW_SECONDS = 30.0
"""A hook that has run for so long is named."""
MANY_CHARACTERS = 100_000
"""What one call of a hook may print on each of stdout and stderr; the rest of that call's output is dropped, and it is named."""


class Watch:
    """Names the hook that takes longer than ``seconds``, once a plugin and hook. A daemon thread looks; entering a hook costs
    microseconds, because the thread is started once a process and only compares numbers."""

    def __init__(self, seconds: float = SLOW_SECONDS) -> None:
        self.seconds = seconds
        self._current: tuple[str, str, float] | None = None
        self._said: set[tuple[str, str]] = set()
        self._process = 0
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def over(self, plugin: str, hook: str) -> Iterator[None]:
        """While a hook runs. plugin: how messages name it."""
        self._start()
        before, self._current = self._current, (plugin, hook, time.monotonic())
        try:
            yield
        finally:
            self._current = before

    def look(self, now: float) -> None:
        """Name the hook that runs if it began more than ``seconds`` before ``now`` (of `time.monotonic`)."""
        current = self._current
        if current is None or now - current[2] < self.seconds or current[:2] in self._said:
            return
        plugin, hook, began = current
        self._said.add((plugin, hook))
        warnings.warn(
            f"{plugin} has been in {hook} for {now - began:.0f} s and everything waits for it. It may still end by itself; if "
            "not, stop with Ctrl-C and leave it out with --no-plugin.",
            stacklevel=2,
        )

    def stop(self) -> None:
        """End the thread, if there is one: a process that forks should have none."""
        if self._thread is not None and self._process == os.getpid():
            self._stopped.set()
            self._thread.join()
        self._thread = None

    def _start(self) -> None:
        if self._thread is not None and self._process == os.getpid():
            return  # else: there is none yet, or it stayed behind in the process that this one was forked from
        self._process, self._stopped = os.getpid(), threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopped,), name="preflab watch", daemon=True
        )
        self._thread.start()

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self.seconds / 3):
            self.look(time.monotonic())


WATCH = Watch()
"""The watch of this process."""


class _Bounded:
    """A text stream that takes so many characters from the thread that made it, and all from others; the rest is counted."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left, self.dropped = stream, limit, 0
        self._thread = threading.get_ident()
        self.open = True

    def write(self, text: str) -> int:
        if self.open and threading.get_ident() == self._thread:
            shown = text[: self._left]
            self._left -= len(shown)
            self.dropped += len(text) - len(shown)
        else:
            shown = text
        if shown:
            self._stream.write(shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def bounded(plugin: str, hook: str, limit: int = MANY_CHARACTERS) -> Iterator[None]:
    """While a hook runs: what it prints beyond the limit is dropped, and it is named. Only what goes through sys.stdout and
    sys.stderr is seen, not what a C library writes."""
    ours = {name: _Bounded(getattr(sys, name), limit) for name in ("stdout", "stderr")}
    before = {name: getattr(sys, name) for name in ours}
    for name, stream in ours.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in ours.items():
            stream.open = False  # a progress bar may have kept it
            if getattr(sys, name) is stream:
                setattr(sys, name, before[name])
        dropped = sum(stream.dropped for stream in ours.values())
        if dropped:
            warnings.warn(
                f"{plugin} printed {dropped + limit:,} characters or more in one call of {hook}; those after the first {limit:,} "
                "were dropped.",
                stacklevel=3,
            )


@contextlib.contextmanager
def watched(plugin: str, hook: str) -> Iterator[None]:
    """While a hook runs, both: its time and what it prints."""
    with WATCH.over(plugin, hook), bounded(plugin, hook):
        yield
