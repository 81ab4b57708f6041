"""How a process ends: exit codes, and what a person sees."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from pathlib import Path

from preflab.errors import PreflabError, StorageError, Waiting
from preflab.launched import is_main
from preflab.signals import Stopped, left_alone
from preflab.storage.durable import disk_error


def exit_code(error: BaseException) -> int:
    """The exit code of an error, as documented in framework/README.md."""
    if isinstance(error, (PreflabError, Stopped)):
        return error.exit_code
    if disk_error(error):
        return StorageError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return 1


def show(error: BaseException, log: Path | None = None) -> None:
    """Print one message for what a person can mend, a traceback for what they cannot; also into a
    log file."""
    if isinstance(error, SystemExit):
        return  # the reason was printed where it was raised
    if isinstance(error, Waiting) and not is_main():
        return  # process 0 says it
    if isinstance(error, (Stopped, KeyboardInterrupt)):
        why = ", since the process that started it is gone" if left_alone() else ""
        text = f"preflab: stopped{why}; give the same command again to resume"
    elif isinstance(error, PreflabError):
        text = f"preflab: {error}"
    elif refusal := disk_error(error):
        text = f"preflab: the disk refused: {refusal.strerror}: {refusal.filename}"
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    print(text, file=sys.stderr)
    if log is not None and log.parent.is_dir():
        with contextlib.suppress(OSError):
            log.write_text(text + "\n", encoding="utf8")
