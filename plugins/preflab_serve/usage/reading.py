"""The lines of a log of use, read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab_serve.usage.log import DAY


@dataclass(frozen=True)
class Request:
    """One request. at: seconds since 1970; key: pseudonym; against: categories that a guard did not
    allow; blocked: whether something was not shown; moderation: whether the guard was only asked
    what it says of texts."""

    at: float
    key: str
    model: str
    status: int
    tokens: int
    against: frozenset[str] = frozenset()
    blocked: bool = False
    moderation: bool = False

    @property
    def refused(self) -> bool:
        """Whether it was refused for its form, its key, or a limit."""
        return self.status >= 400


def read(folder: Path, since: float = 0.0) -> list[Request]:
    """The requests of a log, the oldest first. since: seconds since 1970. `UserError` for a folder
    that holds none, and for a line that is no request; a last line that a killed server left half
    written is left out."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give the folder of preflab serve --log.")
    files = sorted(path for path in folder.iterdir() if DAY.fullmatch(path.name))
    if not files:
        raise UserError(f"{folder} holds no log of use: its files are called 2026-11-30.jsonl.")
    found = [request for path in files for request in _requests(path)]
    return sorted((one for one in found if one.at >= since), key=lambda one: one.at)


def _requests(path: Path) -> Iterator[Request]:
    lines = path.read_text(encoding="utf8", errors="replace").split("\n")
    whole = lines[:-1]
    for number, line in enumerate(whole, 1):
        try:
            row = json.loads(line)
            if "about" not in row:
                yield _request(row)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number} is no line of a log of use: {error}") from None


def _request(row: dict[str, Any]) -> Request:
    verdicts = row.get("against", [])
    return Request(
        at=float(row["at"]),
        key=str(row["key"]),
        model=str(row.get("model", "")),
        status=int(row["status"]),
        tokens=int(row.get("prompt_tokens", 0)) + int(row.get("tokens", 0)),
        against=frozenset(str(verdict["category"]) for verdict in verdicts),
        blocked=any(verdict["action"] != "flag" for verdict in verdicts),
        moderation=row.get("path") == "/v1/moderations",
    )
