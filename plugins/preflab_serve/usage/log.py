"""A line for each request, in a file a day. No prompt and no response is in it unless its owner
asks for that, and names stand there as salted hashes."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflab.errors import UserError

SALT = "salt"
FORM = 1
DAY = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl")


def today() -> datetime.datetime:
    """Now, by UTC."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class UsageLog:
    """folder: of the files; keep_days: files of earlier days are removed; text: prompts and
    responses are kept too."""

    folder: Path
    keep_days: int = 90
    text: bool = False
    clock: Callable[[], datetime.datetime] = today
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _day: str = ""

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._salt = stored_salt(self.folder)
        except OSError as error:
            raise UserError(f"No log can be kept in {self.folder}: {error.strerror}.") from None

    @property
    def about(self) -> str:
        """What is kept, and for how long: said when a server starts."""
        what = "with prompts and responses" if self.text else "without any text"
        return (
            f"Log of use in {self.folder}, {what}; files are removed after {self.keep_days} days."
        )

    def pseudonym(self, name: str) -> str:
        """Under which a key or a user stands in this log."""
        return pseudonym(self._salt, name)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one request. At the first one of a day the files that are too old are removed."""
        now = self.clock()
        day, row = now.date().isoformat(), {"at": round(now.timestamp(), 3), **entry}
        with self._lock:
            path = self.folder / f"{day}.jsonl"
            lines = [row]
            if day != self._day:
                self._day = day
                self.forget(now.date())
                about = {"form": FORM, "keep_days": self.keep_days, "text": self.text}
                lines = [{"about": about}, row]
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                # A full disk or a kill may have left a part of a line: it must not join this one.
                end = os.fstat(descriptor).st_size
                whole = end == 0 or os.pread(descriptor, 1, end - 1) == b"\n"
                file.write((text if whole else f"\n{text}").encode())

    def forget(self, day: datetime.date) -> None:
        """Remove the files that are older than is kept."""
        first = day - datetime.timedelta(days=self.keep_days)
        for path in self.folder.iterdir():
            match = DAY.fullmatch(path.name)
            if match and datetime.date.fromisoformat(match[1]) < first:
                path.unlink(missing_ok=True)


def stored_salt(folder: Path) -> str:
    """The salt of a log, in a file that its owner alone can read; made at the first call."""
    path = folder / SALT
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(16) + "\n")
    return path.read_text(encoding="ascii").strip()


def pseudonym(salt: str, name: str) -> str:
    """A salted hash of a name, twelve letters; "" of no name."""
    return hashlib.sha256(f"{salt} {name}".encode()).hexdigest()[:12] if name else ""
