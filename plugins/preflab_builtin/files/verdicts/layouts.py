"""What is read of rows with several answers: where they are, and what says the better one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from preflab.rows import shown
from preflab_builtin.files.values import listed
from preflab_builtin.files.verdicts.pointing import Pointer


class How(Enum):
    """What decides between the answers of a row."""

    WINNER = "a column that names the best"
    SCALE = "a number that leans to one of two"
    SCORES = "a score for each"
    RANKS = "a rank for each"
    WINS = "a mark for the best"


@dataclass(frozen=True)
class Layout:
    """What is read of a file's rows. answers: a column for each, or one with a list of them
    (``listed``). columns: what decides: one, or one for each answer. companions: other columns with
    something for each answer, such as names of models. start: the number of the first answer.
    leans: the number of the answer that high numbers prefer, and the number that prefers none.
    beside: columns that read as a verdict too and do not count. about: columns that describe the
    prompt. numbers: scores, ranks or marks of the answers next to what decides. rivals: other
    columns that name the best or the worst answer, and must agree. first: it counts before any
    shape that the rows have too."""

    asks: str | None
    answers: tuple[str, ...]
    listed: bool = False
    how: How | None = None
    columns: tuple[str, ...] = ()
    tie: str | None = None
    pointer: Pointer = field(default_factory=Pointer)
    companions: tuple[tuple[str, ...], ...] = ()
    start: int | None = None
    leans: tuple[int, float] = (0, 0.0)
    beside: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    numbers: tuple[tuple[How, tuple[str, ...]], ...] = ()
    rivals: tuple[str, ...] = ()
    first: bool = False

    def needs(self) -> tuple[str, ...]:
        """Columns that a row must have."""
        return (*((self.asks,) if self.asks else ()), *self.answers)

    @cached_property
    def reads(self) -> frozenset[str]:
        """Columns that need no further look."""
        tie = (self.tie,) if self.tie else ()
        given = ("input",) if self.asks == "instruction" else ()
        known = (*self.columns, *tie, *self.beside, *self.about, *given)
        return frozenset((*self.needs(), *known))

    def texts(self, row: Mapping[str, Any]) -> list[Any]:
        """The answers of a row, as they stand there."""
        if not self.listed:
            return [row.get(name) for name in self.answers]
        found = listed(row.get(self.answers[0]))
        return list(found) if isinstance(found, (list, tuple)) else []

    def points(self, value: Any, row: Mapping[str, Any]) -> int:
        """The answer that a value means (`Pointer.of`)."""
        if not isinstance(value, str):  # such a value can be explained, and equals no text
            return self.pointer.of(value, self.texts(row) if self.pointer.meanings else (), ())
        texts = [_bare(text) for text in self.texts(row)]
        return self.pointer.of(value, texts, self._others(row))

    def _others(self, row: Mapping[str, Any]) -> list[list[Any]]:
        """What a row's companions hold."""
        others = []
        for columns in self.companions:
            if len(columns) > 1 or not self.listed:
                others.append([row.get(name) for name in columns])
            elif isinstance(found := listed(row.get(columns[0])), (list, tuple)):
                others.append(list(found))
        return others

    def of_both(self, value: Any, row: Mapping[str, Any]) -> bool:
        """Whether a value names something that several answers of the row have, such as their
        model, so that it does not say which of them it means."""
        if not isinstance(value, str) or self.pointer.told(value) is not None:
            return False
        lists = [self.texts(row), *self._others(row)]
        return any([str(one).strip() for one in some].count(value.strip()) > 1 for some in lists)

    def summary(self, judged: Mapping[int, int]) -> str:
        """A sentence on what was read. judged: rows by the number of the best answer, -1 a tie."""
        names = dict(enumerate(self.answers)) if not self.listed else {}
        parts = [
            f"{names.get(i, f'number {i + 1}') if i >= 0 else 'a tie'} in {rows}"
            for i, rows in sorted(judged.items(), key=lambda item: (item[0] < 0, item[0]))
        ]
        deciding = ", ".join(f"'{shown(name)}'" for name in self.columns)
        says = "says" if len(self.columns) == 1 else "say"
        return f"{deciding} {says} which answer is the best: {', '.join(parts)} rows."


def _bare(text: Any) -> Any:
    """The only text of a list, as the arena writes an answer."""
    if isinstance(text, str) and text[:1] != "[":
        return text
    found = listed(text)
    return found[0] if isinstance(found, list) and len(found) == 1 else text


class Refused(Exception):
    """Why a file's verdicts cannot be read, with the cure."""
