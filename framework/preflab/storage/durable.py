"""Writing that survives a kill or a power cut: contents first, then names, and old things go
last. Errors of the disk say which path, how much was needed and how much is free."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preflab.errors import StorageError
from preflab.storage.once import once_here

DISK_ERRORS = frozenset({errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
_SEAL = "seal"


def fsync(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each durable in the one that holds it."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable; its name is durable once the folder is
    synced."""
    with path.open("wb", buffering=0) as stream:
        view = memoryview(data)
        while view:
            view = view[stream.write(view) :]
        os.fsync(stream.fileno())


def unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder, "" if it can. One that is missing is not made:
    then the nearest folder above it is tried, in which it would be."""
    try:
        existing = folder.absolute()
        missing = []
        while not _is_there(existing):
            missing.append(existing.name)
            existing = existing.parent
        for name in missing:
            _is_there(existing / name)  # or a name that is too long
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "", str(existing))
        handle, name = tempfile.mkstemp(prefix=".preflab-", dir=existing)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        return in_words(error)
    return ""


def _is_there(path: Path) -> bool:
    """Whether there is something; `OSError` if the path leads through a file, is too long, or must
    not be looked at."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def in_words(error: OSError) -> str:
    """What a refusal of the disk means."""
    number = error.errno or 0
    if number in (errno.ENOTDIR, errno.EEXIST):
        return f"{error.filename} is, or lies in, a file"
    return _MEANS.get(number) or error.strerror or str(error)


_MEANS = {
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "you have no right to write there",
    errno.EPERM: "you have no right to write there",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is used up",
    errno.ENAMETOOLONG: "a part of the path is too long",
}
_CURES = {
    errno.EROFS: "give a folder on a disk that can be written",
    errno.EIO: "the disk may be broken: look at it",
}


_digests: dict[Path, tuple[tuple[int, ...], str]] = {}
"""By path: what `cached_digest` knows a file by, and its digest."""


LARGE = 2**26
"""Bytes of a file that one of several processes on a machine reads for all of them."""


def cached_digest(path: Path) -> str:
    """sha256 of a file's bytes. A process remembers it while the file's size and time of change
    stay the same: weights are large."""
    known_version, digest = _digests.get(path, ((), ""))
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if known_version != _version(status):

            def read() -> str:
                return hashlib.file_digest(stream, "sha256").hexdigest()

            large = status.st_size >= LARGE
            digest = once_here(f"sha256 {_version(status)}", read) if large else read()
            remember_digest(path, status, digest)
    return digest


def remember_digest(path: Path, status: os.stat_result, digest: str) -> None:
    """Let `cached_digest` know what somebody found who read a whole file. status: of the open file,
    before the first byte was read."""
    _digests[path] = _version(status), digest


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def encoded(value: Any) -> bytes:
    """JSON as all our files have it: one key per line, sorted."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def json_number(value: float | None) -> float | None:
    """A number as JSON can hold it: None (null) for nan and infinities.

    >>> json_number(0.5), json_number(float("nan")), json_number(None)
    (0.5, None, None)
    """
    return float(value) if value is not None and math.isfinite(value) else None


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is the old one or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = encoded(value)
    try:
        write_bytes(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync(path.parent)


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON with a digest of itself, so that `read_sealed` notices any change."""
    write_json(path, {**value, _SEAL: hashlib.sha256(encoded(value)).hexdigest()})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote; `StorageError` naming the file if a byte of it has changed."""
    data = path.read_bytes()
    try:
        value = json.loads(data)
        whole = (
            encoded(value) == data
            and value.pop(_SEAL) == hashlib.sha256(encoded(value)).hexdigest()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise StorageError(f"{path} was damaged or changed: it does not match the digest in it")
    return dict(value)


def sync_below(folder: Path, without: str = "") -> None:
    """Make all files and folders below a folder durable, innermost first; ``without``: a name at
    its top that is left out."""
    inside = sorted(
        (p for p in folder.rglob("*") if p.relative_to(folder).parts[0] != without), reverse=True
    )
    for path in [*inside, folder]:
        if not path.is_symlink():
            fsync(path)


def publish(new: Path, final: Path, aside: Path) -> None:
    """Give a durable folder its name. What bears that name steps aside first and is removed when
    the new one is durable; a kill in between leaves it in ``aside``."""
    if final.exists():
        os.rename(final, aside)
    os.rename(new, final)
    fsync(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def disk_error(error: BaseException) -> OSError | None:
    """The refusal of the disk that an error reports (the safetensors library puts it in words);
    None for anything else."""
    if isinstance(error, OSError):
        return error if error.errno in DISK_ERRORS else None
    said = (
        re.search(r"\(os error (\d+)\)", str(error))
        if type(error).__name__ == "SafetensorError"
        else None
    )
    number = int(said[1]) if said else 0
    return OSError(number, os.strerror(number)) if number in DISK_ERRORS else None


@contextlib.contextmanager
def writing(what: str, folder: Path, needed: int | None = None) -> Iterator[None]:
    """Within it a refusal of the disk becomes one `StorageError`. needed: bytes; None if
    unknown beforehand."""
    try:
        yield
    except Exception as error:
        refusal = disk_error(error)
        if refusal is None:
            raise
        room = (
            f"{free(folder):,} bytes free"
            if needed is None
            else f"{needed:,} bytes needed, {free(folder):,} free"
        )
        raise StorageError(
            f"The disk refused while writing {what}: {refusal.strerror}: "
            f"{refusal.filename or folder} ({room}). What was complete before is intact: "
            f"{_CURES.get(refusal.errno or 0, 'make room')}, then give the same command again."
        ) from error


def free(folder: Path) -> int:
    """Free bytes where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextlib.contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """End the process with exit code 4 if the work within takes longer: a disk that hangs must
    not hold up a job."""

    def give_up() -> None:
        message = (
            f"preflab: {what} did not finish within {seconds:g} seconds: the disk hangs. What was "
            "complete before is intact.\n"
        )
        os.write(2, message.encode())
        os._exit(StorageError.exit_code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
