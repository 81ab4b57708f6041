"""What every process of a job must see alike: the artifacts that a stage reads, and the folder in
which it works. A process that saw others would train on another model without a word."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import StorageError
from preflab.launched import local_rank
from preflab.storage.artifacts import STATE, Artifact, opened
from preflab.storage.durable import in_words, make_folder

if TYPE_CHECKING:
    from preflab.runtime import Runtime

PATIENCE = 10.0
"""Seconds that a network file system has to show on one machine what another one wrote."""
_CURE = (
    "All processes of a job read and write one folder of artifacts: set artifacts.dir to a folder "
    "that every machine sees. Nothing was computed from it."
)


class Alone(StorageError):
    """What some processes of a job could not do, and others could. who: a sentence on them."""

    def __init__(self, problem: str, who: str) -> None:
        super().__init__(problem)
        self.who = who


def together(runtime: Runtime, check: Callable[[], None]) -> None:
    """Run a check on every process. `StorageError` on all of them with what the first one that
    failed says, `Alone` if others did not: one that went on alone would wait for the others without
    end."""
    if runtime.world == 1:
        check()
        return
    problem = ""
    try:
        check()
    except StorageError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or 'a file'}: {in_words(error)}"
    said = runtime.gather([(problem, platform.node())])
    failed = [(words, rank, host) for rank, (words, host) in enumerate(said) if words]
    if len(failed) == len(said):
        raise StorageError(failed[0][0])
    if failed:
        words, rank, host = failed[0]
        who = (
            f"Not every process has this problem: process {rank} of {len(said)}, on {host}, has it."
        )
        raise Alone(words, who)


def require_artifact(runtime: Runtime, artifact: Artifact, folder: Path, verify: bool) -> Artifact:
    """An artifact as this process sees it, in ``folder``; `StorageError` naming the host and the
    folder unless every process sees the content that process 0 sees. verify: the first process of
    each host also reads the files."""
    seen: list[Artifact] = []
    theirs = runtime.agreed(_place(folder))

    def check() -> None:
        _waited_for(folder.is_dir)
        if not folder.is_dir():
            raise StorageError(_unlike(runtime, folder, theirs, "is not there"))
        own = opened(folder)
        if own.content != artifact.content:
            raise StorageError(_unlike(runtime, folder, theirs, "holds another result"))
        if verify and local_rank() == 0:
            own.verify()
        seen.append(own)

    together(runtime, check)
    return seen[0]


def require_folder(runtime: Runtime, folder: Path) -> None:
    """`StorageError` on every process unless all of them see one and the same folder: process 0
    writes a file into it, under a name that nobody has asked the file system for before."""
    if runtime.world == 1:
        return
    theirs = runtime.agreed(_place(folder))
    mark = folder / STATE / f"seen-{runtime.agreed(secrets.token_hex(8))}"
    if runtime.rank == 0:
        make_folder(mark.parent)
        mark.touch()
    runtime.gather([0])  # from here on it is there

    def check() -> None:
        _waited_for(mark.exists)
        if not mark.exists():
            raise StorageError(_unlike(runtime, folder, theirs, "is another folder"))

    try:
        together(runtime, check)
    finally:
        if runtime.rank == 0:
            mark.unlink(missing_ok=True)


def _place(folder: Path) -> str:
    return f"{folder.absolute()} on {platform.node()}"


def _unlike(runtime: Runtime, folder: Path, theirs: str, what: str) -> str:
    """A sentence on an artifact that this process sees otherwise than process 0."""
    return (
        f"Process {runtime.rank} does not see the artifact {folder.stem} that process 0 has in "
        f"{theirs}: {_place(folder)} {what}. {_CURE}"
    )


def _waited_for(there: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not there() and time.monotonic() < limit:
        time.sleep(0.1)
