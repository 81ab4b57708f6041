"""The lines of a log of use, read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab_serve.usage.log import days_in

HUNG_UP = 499


@dataclass(frozen=True)
class Request:
    """One request. at: seconds since 1970; key: pseudonym, "" for one without a known key; tokens:
    that were computed; against: categories that a guard did not allow; blocked: whether something
    was not shown; moderation: whether the guard was only asked what it says of texts; number: of
    requests of the key that were refused alike, and have this one line."""

    at: float
    key: str
    model: str
    status: int
    tokens: int
    against: frozenset[str] = frozenset()
    blocked: bool = False
    moderation: bool = False
    number: int = 1

    @property
    def refused(self) -> bool:
        """Whether it was refused for its form, its key, or a limit."""
        return 400 <= self.status < 500 and not self.left

    @property
    def left(self) -> bool:
        """Whether the client hung up before the answer was there."""
        return self.status == HUNG_UP

    @property
    def failed(self) -> bool:
        """Whether the server could not answer."""
        return self.status >= 500

    @property
    def judged(self) -> bool:
        """Whether it counts in the rates of guards: it was answered, it was left by its client, or
        a guard had something against it however it ended."""
        return not self.moderation and (self.status < 400 or self.left or bool(self.against))


def read(folder: Path, since: float = 0.0) -> tuple[list[Request], int]:
    """The requests of a log, the oldest first, and how many lines are damaged. since: seconds since
    1970. `UserError` for a folder that holds no log. A killed server or a full disk leaves a line
    half written; the others count. A last line without its end may still be on its way and is not
    called damaged."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give the folder of preflab serve --log.")
    files = [path for _, path in days_in(folder)[0]]
    if not files:
        raise UserError(f"{folder} holds no log of use: its files are called 2026-11-30.jsonl.")
    found = [request for path in files for request in _requests(path)]
    requests = [one for one in found if one is not None]
    kept = sorted((one for one in requests if one.at >= since), key=lambda one: one.at)
    return kept, len(found) - len(requests)


def _requests(path: Path) -> Iterator[Request | None]:
    """The requests of a file; None: a damaged line."""
    try:
        lines = path.read_text(encoding="utf8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    for line in lines[:-1]:
        try:
            row = json.loads(line)
            if "about" not in row:
                yield _request(row)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            yield None


def _request(row: dict[str, Any]) -> Request:
    verdicts = row.get("against", [])
    return Request(
        at=float(row["at"]),
        key=str(row["key"]),
        model=str(row.get("model", "")),
        status=int(row["status"]),
        tokens=int(row.get("computed", 0)),
        against=frozenset(str(verdict["category"]) for verdict in verdicts),
        blocked=any(verdict["action"] != "flag" for verdict in verdicts),
        moderation=row.get("path") == "/v1/moderations",
        number=max(1, int(row.get("requests", 1))),
    )
