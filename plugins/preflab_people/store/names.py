"""Who the people are: the one file that says so, for its owner's eyes alone.

Nothing else of a round knows names. No exporter and no backup reads this file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from preflab.errors import StorageError
from preflab.storage.durable import encoded, fsync

FILE = "people.json"


@dataclass(frozen=True)
class Names:
    """``people.json``: by labeler what is known of them (name, address, answers to a survey)."""

    path: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """All of it; nothing if nobody was ever named."""
        try:
            return dict(json.loads(self.path.read_text(encoding="utf8")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StorageError(f"{self.path} is no JSON: {error}") from error

    def add(self, people: Mapping[str, Mapping[str, Any]]) -> None:
        """Know more about some people."""
        if people:
            with self._alone():
                known = self.read()
                more = {who: {**known.get(who, {}), **about} for who, about in people.items()}
                self._write({**known, **more})

    def forget(self, labeler: str) -> None:
        """Know nothing about a person."""
        if not self.path.exists():
            return
        with self._alone():
            known = self.read()
            if known.pop(labeler, None) is not None:
                self._write(known)

    def _alone(self) -> FileLock:
        """While this is held no other process changes the file."""
        return FileLock(f"{self.path}.lock", mode=0o600)

    def _write(self, known: Mapping[str, Any]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        handle = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with open(handle, "wb") as stream:
            stream.write(encoded(known))
            stream.flush()
            os.fsync(handle)
        os.replace(temporary, self.path)
        fsync(self.path.parent)
