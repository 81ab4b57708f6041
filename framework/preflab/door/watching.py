"""A plugin's hook that hangs holds up everything, and only a person can know whether it hangs or
works: its traceback is shown after a while, and the plugin is named. Nothing is ever ended."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import time
import warnings
from collections.abc import Iterator

SLOW_SECONDS = 30.0
"""The traceback of a hook that has run for this long is shown."""
_STDERR = 2
# The timer is a thread, which a forked process would wait for without end: it has none.
os.register_at_fork(before=faulthandler.cancel_dump_traceback_later)


@contextlib.contextmanager
def watched(plugin: str, hook: str) -> Iterator[None]:
    """While a hook runs. After `SLOW_SECONDS` the standard library writes to stderr which line of
    which file is being executed; when the hook ends, or is interrupted, the plugin is named."""
    began = time.monotonic()
    faulthandler.dump_traceback_later(SLOW_SECONDS, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        if time.monotonic() - began > SLOW_SECONDS:
            warnings.warn(
                f"{plugin} took more than {SLOW_SECONDS:g} s in {hook}, and everything waited for "
                "it. --no-plugin NAME leaves a plugin out.",
                stacklevel=3,
            )
