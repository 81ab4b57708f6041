"""How the process of the command line behaves: how its threads wait, and how it leaves."""

from __future__ import annotations

import atexit
import gc
import os
import time
from pathlib import Path

SPIN = "20000"
"""Rounds (some tenths of a millisecond) that a thread of libgomp spins before it sleeps, on an idle
machine."""


def calm_threads() -> None:
    """Set how OpenMP's threads wait for each other, before torch is imported: asleep, after a
    moment of spinning if nothing else runs on this machine now.

    Threads that spin without end slow down fifty times as soon as another job wants their core;
    threads that always sleep need 1.4 times as long for a small model's step on an idle machine, to
    wake up a thousand times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN if _alone() else "0")


def _alone() -> bool:
    """Whether this process is the only one that runs; True where the system does not say."""
    for _ in range(3):
        try:
            running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
        except (OSError, IndexError):
            return True
        if int(running) <= 1:
            return True
        time.sleep(0.005)
    return False


def skip_last_collection() -> None:
    """At the end of this process, do not search for garbage: it would look through all that
    composition has made, for 0.04 s, to free what the system takes back anyway. A run keeps the
    search, since an object of a plugin may write its last lines when it is freed."""
    atexit.register(gc.freeze)
