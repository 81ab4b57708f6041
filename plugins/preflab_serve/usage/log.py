"""A line for each request, in a file a day. No prompt and no response is in it unless its owner
asks for that, and names stand there as salted hashes."""

from __future__ import annotations

import datetime
import errno
import fcntl
import hashlib
import io
import json
import logging
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflab.errors import UserError

LOG = logging.getLogger("preflab_serve")
SALT = "salt"
FORM = 1
ABOUT = b'{"about":'
"""How a line on the file itself begins."""
COUNTED = (401, 429)
"""Refusals that cost nothing, so that anybody could fill a disk with their lines: no known key, and
one request too many."""
LINES = 60
"""That one key has of each of them in a minute; the others are in one line together."""
DAY = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl")


def today() -> datetime.datetime:
    """Now, by UTC."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class UsageLog:
    """folder: of the files; keep_days: files of earlier days are removed, and files that state
    fewer days earlier still; text: prompts and responses are kept too. owed: lines that could not
    be written yet. Of `COUNTED` refusals beyond `LINES` a minute the next minute's first line says
    how many they were."""

    folder: Path
    keep_days: int = 90
    text: bool = False
    clock: Callable[[], datetime.datetime] = today
    owed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _day: str = ""
    _minute: int = 0
    _refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Of this minute, by key and status."""
    _stated: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Of a file: its size when it was read, and the fewest days that it states."""

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._salt = stored_salt(self.folder)
            self.forget()
            self._begin_day(self.clock())
            _append(self._file, "".join(self.owed))
        except OSError as error:
            raise UserError(f"No log can be kept in {self.folder}: {error}.") from None
        self.owed.clear()

    @property
    def about(self) -> str:
        """What is kept, and for how long: said when a server starts."""
        what = "with prompts and responses" if self.text else "without any text"
        return (
            f"Log of use in {self.folder}, {what}; files are removed after {self.keep_days} days, "
            f"or after fewer where they state so.{said_ignored(self.folder)}"
        )

    def pseudonym(self, name: str) -> str:
        """Under which a key or a user stands in this log."""
        return pseudonym(self._salt, name)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one request. If that fails it is owed, and written first of all later on."""
        now = self.clock()
        with self._lock:
            if self._begin_day(now):
                self.forget()
            self._begin_minute(now)
            who = entry["key"], entry["status"]
            self._refused[who] += who[1] in COUNTED
            if self._refused[who] <= LINES:
                self.owed.append(_line({"at": round(now.timestamp(), 3), **entry}))
        self.pay()

    def pay(self) -> bool:
        """Write what is owed; whether nothing is owed any more."""
        with self._lock:
            self._begin_minute(self.clock())
            if not self.owed:
                return True
            try:
                _append(self._file, "".join(self.owed))
            except OSError as error:
                LOG.error("the log of use cannot be written, so nothing is answered: %s", error)
                return False
            self.owed.clear()
            return True

    def close(self) -> None:
        """Write what is owed, and what the minute at hand has without lines."""
        with self._lock:
            self._minute = 0
        self.pay()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self._day}.jsonl"

    def _begin_day(self, now: datetime.datetime) -> bool:
        """Whether it is another day, whose file says first how long it is kept."""
        day, before = now.date().isoformat(), self._day
        if day != before:
            self._day = day
            about = {"form": FORM, "keep_days": self.keep_days, "text": self.text}
            self.owed.append(_line({"about": about}))
        return day != before

    def _begin_minute(self, now: datetime.datetime) -> None:
        """In another minute, owe a line for each key that had refusals without one."""
        minute = int(now.timestamp()) // 60
        if minute == self._minute:
            return
        for (key, status), number in self._refused.items():
            if number > LINES:
                facts = {"key": key, "path": "", "status": status, "requests": number - LINES}
                self.owed.append(_line({"at": round(now.timestamp(), 3), **facts}))
        self._minute = minute
        self._refused.clear()

    def forget(self) -> None:
        """Remove the files that are older than is kept, by this server or by what they state: a
        later server with more days keeps no promise of an earlier one longer. What is there besides
        stays."""
        today = self.clock().date()
        try:
            for day, path in days_in(self.folder)[0]:
                age = (today - day).days
                if age > self.keep_days or (age > 0 and age > self._days_of(path)):
                    path.unlink(missing_ok=True)
        except OSError as error:
            LOG.error("the log of use cannot be removed where it is too old: %s", error)

    def _days_of(self, path: Path) -> int:
        """The fewest days that a file states, or those of this server if they are fewer. A file is
        read again only if it has grown."""
        try:
            size = path.stat().st_size
            if self._stated.get(path, (-1, 0))[0] != size:
                self._stated[path] = size, min([self.keep_days, *stated_days(path)])
        except FileNotFoundError:  # another server has removed it
            return self.keep_days
        return self._stated[path][1]


def stated_days(path: Path) -> list[int]:
    """For how many days a file says that it is kept: each server that wrote to it has said so."""
    found = []
    with path.open("rb") as lines:
        for line in lines:
            if line.startswith(ABOUT):
                try:
                    days = json.loads(line)["about"]["keep_days"]
                except (ValueError, KeyError, TypeError):
                    continue  # a kill may have cut it
                found += [days] if type(days) is int and days >= 0 else []
    return found


def days_in(folder: Path) -> tuple[list[tuple[datetime.date, Path]], list[str]]:
    """The files of a log with their days, the oldest first; names of what else lies in its
    folder."""
    found, ignored = list[tuple[datetime.date, Path]](), list[str]()
    for path in sorted(folder.iterdir()):
        match = DAY.fullmatch(path.name)
        try:
            day = datetime.date.fromisoformat(match[1]) if match else None
        except ValueError:
            day = None
        if day is not None and path.is_file() and not path.is_symlink():
            found.append((day, path))
        elif path.name != SALT:
            ignored.append(path.name)
    return found, ignored


def said_ignored(folder: Path) -> str:
    """A sentence on what else lies in the folder of a log; "" if there is nothing."""
    ignored = days_in(folder)[1]
    names = ", ".join(map(repr, ignored[:5])) + (", and more" if len(ignored) > 5 else "")
    return f" Not part of the log, and left as it is: {names}." if ignored else ""


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _append(path: Path, text: str) -> None:
    """All of a text, or nothing: half a line would join the next one."""
    with _opened(path) as file:
        end = os.fstat(file.fileno()).st_size
        # A kill may have left a part of a line: it must not join this one.
        whole = end == 0 or os.pread(file.fileno(), 1, end - 1) == b"\n"
        given = (text if whole else f"\n{text}").encode()
        file.seek(end)
        if file.write(given) != len(given):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stored_salt(folder: Path) -> str:
    """The salt of a log, in a file that its owner alone can read; made at the first call.
    `UserError` for a file that holds something else."""
    path = folder / SALT
    with _opened(path) as file:
        salt = file.read(1000).decode("ascii", "replace").strip()
        if not salt:
            salt = secrets.token_hex(16)
            file.write(f"{salt}\n".encode())
    if not re.fullmatch(r"[0-9a-f]{32}", salt):
        raise UserError(
            f"{path} holds no salt of a log. Put back the one that was there; or remove it, and "
            "keys and users have other pseudonyms from now on."
        )
    return salt


def _opened(path: Path) -> io.FileIO:
    """A file of the log to be read and written, made if it is not there, and locked: several
    servers may keep one log."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    file = io.FileIO(descriptor, "r+")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return file


def pseudonym(salt: str, name: str) -> str:
    """A salted hash of a name, twelve letters; "" of no name."""
    return hashlib.sha256(f"{salt} {name}".encode()).hexdigest()[:12] if name else ""
