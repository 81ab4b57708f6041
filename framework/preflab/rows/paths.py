"""What a path holds: its files, the digest of their content, and reading them once per process."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from preflab.errors import UserError, meant
from preflab.rows.hub import hub_digest, on_hub
from preflab.storage.durable import cached_digest

S = TypeVar("S")
T = TypeVar("T")


def files_of(path: Path) -> list[Path]:
    """The file, or all files of a folder by name; `UserError` if there is nothing to read."""
    if path.is_file():
        return [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        if not files:
            raise UserError(f"{path}: the folder is empty.")
        return files
    if address := address_of(path):
        raise UserError(f"{address}: is not fetched: download it, or hub://OWNER/NAME/SPLIT.")
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UserError(
        f"{path}: there is no such file or folder. {meant(path.name, siblings)}".rstrip()
    )


def address_of(path: Path | str) -> str:
    """The address that was given as a path, as it was written; "" if it is none.

    >>> address_of(Path("https://example.org/a.jsonl")), address_of("C:/a"), address_of("a/b")
    ('https://example.org/a.jsonl', '', '')
    """
    found = re.match(r"([a-z][a-z0-9+.]+):/+(.*)", str(path), re.IGNORECASE)
    if found is None:
        return ""
    slashes = "///" if found[1].lower() == "file" else "//"  # a path has lost them
    return f"{found[1]}:{slashes}{found[2]}"


def path_digest(path: Path) -> str:
    """sha256 of what a path holds: a file's bytes, the names and bytes of all files of a folder, or
    the rows of a set on the hub. It belongs into a component's `preflab.Inspection`."""
    if on_hub(path):
        return hub_digest(path)
    try:
        if path.is_file():
            return cached_digest(path)
        lines = [f"{p.relative_to(path).as_posix()}\0{cached_digest(p)}\n" for p in files_of(path)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from None
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_once(read: Callable[[Path, S], T]) -> Callable[[Path, S], T]:
    """Decorator for ``read(path, settings)``: a process calls it once for a path and equal settings
    (equal by their repr), and again when a file changes its size or time of change. A data source
    is asked for its records many times: when a run is planned, and by several of its stages."""
    results: dict[tuple[Path, str], tuple[object, T]] = {}

    @functools.wraps(read)
    def remembered(path: Path, settings: S) -> T:
        key, version = (path, repr(settings)), _version(path)
        if key not in results or results[key][0] != version:
            results[key] = version, read(path, settings)
        return results[key][1]

    return remembered


def _version(path: Path) -> list[tuple[str, int, int, int]]:
    """What changes when a file is written. A set on the hub does not change within a process."""
    files = [] if on_hub(path) else files_of(path)
    return [(str(p), (s := p.stat()).st_ino, s.st_size, s.st_mtime_ns) for p in files]
