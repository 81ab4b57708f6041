"""Work that the processes of a job on one machine need alike, and that one of them does for all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from preflab.launched import local_rank, local_world_size

T = TypeVar("T")


def once_here(key: str, compute: Callable[[], T]) -> T:
    """What a function gives: the first process that asks computes it, the others wait for that and
    read it. A process that is killed meanwhile lets the next one begin.

    key: all that the value follows from. The value is one that JSON gives back as it was.
    """
    if local_world_size() == 1:
        return compute()
    from filelock import FileLock

    with contextlib.ExitStack() as held:
        try:
            file = _folder() / hashlib.sha256(key.encode()).hexdigest()
            held.enter_context(FileLock(f"{file}.lock"))
        except OSError:  # nowhere to write: each for itself
            return compute()
        with contextlib.suppress(OSError, ValueError):
            known: T = json.loads(file.read_text(encoding="utf8"))
            return known
        value = compute()
        with contextlib.suppress(OSError):
            file.write_text(json.dumps(value), encoding="utf8")
        return value


def forget() -> None:
    """Remove what was kept, when all processes are done."""
    if local_world_size() > 1 and local_rank() == 0:
        shutil.rmtree(_path(), ignore_errors=True)


def _path() -> Path:
    """Of this job: processes that have one parent and meet at one port."""
    job = f"{os.getuid()}-{os.getppid()}-{os.environ.get('MASTER_PORT', '')}"
    return Path(tempfile.gettempdir()) / f"preflab-once-{job}"


def _folder() -> Path:
    folder = _path()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder
