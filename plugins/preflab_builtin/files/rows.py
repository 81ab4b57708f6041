"""A row of a file, and the reason why one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BadRow(Exception):
    """Why a row is no record: the field and the reason. Never leaves this plugin: it becomes a `UserError` or a count."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True)
class Row:
    """One row: where it stands (``file:line``), its columns, and what was wrong with it already."""

    place: str
    values: Mapping[str, Any]
    problem: BadRow | None = None
