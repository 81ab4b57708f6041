"""Rows of a test set as cases: columns of any name, every row checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Protocol, TypeVar

from preflab import Inspection, UserError
from preflab.errors import nearest
from preflab.randomness import permutation
from preflab.rows import BadRow, checked_text, content_digest, read_rows, shown, type_name
from preflab_builtin.benchmarks.config import (
    GenerationConfig,
    MultipleChoiceConfig,
    SentencePairsConfig,
)

Values = Mapping[str, Any]


class Grouped(Protocol):
    """What every case has."""

    @property
    def group(self) -> str:
        """The value of the group column, "" without one."""


Case = TypeVar("Case", bound=Grouped)


@dataclass(frozen=True)
class Question:
    """What is answered in free text. place: ``file:line``."""

    place: str
    group: str
    prompt: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Answers to choose from; right: which of them are."""

    place: str
    group: str
    prompt: str
    answers: tuple[str, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Sentences:
    """Sentences to compare, the stereotype first."""

    place: str
    group: str
    texts: tuple[str, ...]


def questions(config: GenerationConfig) -> list[Question]:
    """The rows of the file; `UserError` with ``file:line: field: reason`` at a bad one."""

    def case(place: str, row: Values) -> Question:
        references = [
            text for column in config.references for text in texts(row, column, config.separator)
        ]
        return Question(
            place, _group(row, config.group), filled(config.template, row), tuple(references)
        )

    return _read(config.path, config.rows, case)


def choices(config: MultipleChoiceConfig) -> list[Choice]:
    """The same."""

    def case(place: str, row: Values) -> Choice:
        answers, right = (
            _listed(row, config) if config.choices is not None else _right_and_wrong(row, config)
        )
        return Choice(
            place,
            _group(row, config.group),
            filled(config.template, row),
            tuple(answers),
            tuple(right),
        )

    return _read(config.path, config.rows, case)


def sentences(config: SentencePairsConfig) -> list[Sentences]:
    """The same."""

    def case(place: str, row: Values) -> Sentences:
        found = tuple(checked_text(value(row, column), column) for column in config.sentences)
        if len(set(found)) < len(found):
            raise BadRow(
                config.sentences[-1],
                f"is the same sentence as another one of {', '.join(config.sentences)}",
            )
        return Sentences(place, _group(row, config.group), found)

    return _read(config.path, config.rows, case)


def inspection(
    config: GenerationConfig | MultipleChoiceConfig | SentencePairsConfig,
    read: Callable[[Any], Any],
) -> Inspection:
    """The digest of the file, after every row was read once."""
    read(config)
    return Inspection(content=content_digest(Path(config.path)))


def by_group(cases: Sequence[Grouped]) -> Iterator[tuple[str, list[int]]]:
    """("", all places), then each group's name and the places of its cases, in alphabetical order."""
    yield "", list(range(len(cases)))
    for group in sorted({case.group for case in cases} - {""}):
        yield f"/{group}", [i for i, case in enumerate(cases) if case.group == group]


# --- columns -----------------------------------------------------------------------------------------------------


def value(row: Values, column: str) -> Any:
    """What stands in a column; ``outer.inner`` looks into an object, unless a column has that very name."""
    if column in row:
        found = row[column]
    else:
        outer, _, inner = column.partition(".")
        if not inner or not isinstance(row.get(outer), dict):
            raise BadRow(shown(column), f"is not a column. {nearest(column, map(shown, row))}")
        return value(row[outer], inner)
    if found is None:
        raise BadRow(shown(column), "is null")
    return found


def texts(row: Values, column: str, separator: str | None) -> list[str]:
    """A column that holds a text, several with a separator between them, or a list of texts; none of them is blank."""
    found = value(row, column)
    if isinstance(found, str) and separator:
        several: list[Any] = [part.strip() for part in found.split(separator) if part.strip()]
    else:
        several = list(found) if isinstance(found, (list, tuple)) else [found]
    if not several:
        raise BadRow(shown(column), "holds no text")
    return [
        checked_text(text, f"{column}[{i}]" if len(several) > 1 else column)
        for i, text in enumerate(several)
    ]


def filled(template: str, row: Values) -> str:
    """The template with its columns filled in. Only whole columns: nothing of Python can be reached from a template.

    >>> filled("Q: {q} ({a.b})", {"q": "why?", "a": {"b": 1}})
    'Q: why? (1)'
    """
    parts = []
    for before, column, _, _ in Formatter().parse(template):
        parts.append(before)
        if column is not None:
            found = value(row, column)
            parts.append(
                str(found)
                if isinstance(found, (int, float))
                else checked_text(found, column, blank=True)
            )
    return "".join(parts)


def _listed(row: Values, config: MultipleChoiceConfig) -> tuple[list[str], list[bool]]:
    """Answers in one column, and which of them is right in another."""
    assert config.choices is not None
    assert config.correct is not None
    answers, said = texts(row, config.choices, config.separator), value(row, config.correct)
    if isinstance(said, (list, tuple)):
        if len(said) != len(answers) or not set(said) <= {0, 1}:
            raise BadRow(
                config.correct,
                f"must hold a 0 or 1 for each of the {len(answers)} choices, not {said!r:.60}",
            )
        right = [bool(mark) for mark in said]
    elif isinstance(said, str) and said in answers:
        right = [answer == said for answer in answers]
    else:
        right = [i == _index(said, len(answers), config.correct) for i in range(len(answers))]
    return _both(answers, right, config.correct)


def _index(said: Any, count: int, column: str) -> int:
    whole = isinstance(said, int) and not isinstance(said, bool)
    if not whole and not (isinstance(said, str) and said.strip().isdecimal()):
        what = repr(said)[:60] if isinstance(said, str) else type_name(said)
        raise BadRow(
            column,
            f"is {what} but must be a number from 0, one of the choices, or a list of 0 and 1",
        )
    if not 0 <= int(said) < count:
        raise BadRow(column, f"is {said} but must be 0 to {count - 1}: there are {count} choices")
    return int(said)


def _right_and_wrong(row: Values, config: MultipleChoiceConfig) -> tuple[list[str], list[bool]]:
    right = list(
        dict.fromkeys(
            text for column in config.right for text in texts(row, column, config.separator)
        )
    )
    wrong = list(
        dict.fromkeys(
            text for column in config.wrong for text in texts(row, column, config.separator)
        )
    )
    twice = next((text for text in wrong if text in right), None)
    if twice is not None:
        raise BadRow(
            config.wrong[0], f"holds '{shown(twice)}', which is among the right answers too"
        )
    return _both([*right, *wrong], [True] * len(right) + [False] * len(wrong), config.right[0])


def _both(answers: list[str], right: list[bool], column: str) -> tuple[list[str], list[bool]]:
    if all(right) or not any(right):
        raise BadRow(
            column,
            f"makes {'every' if all(right) else 'no'} answer right: there is nothing to choose",
        )
    return answers, right


def _group(row: Values, column: str | None) -> str:
    return "" if column is None else str(value(row, column)).strip() or "none"


def _read(path: str, most: int, case: Callable[[str, Values], Case]) -> list[Case]:
    found: list[Case] = []
    for row in read_rows(Path(path)):
        try:
            if row.problem is not None:
                raise row.problem
            found.append(case(row.place, row.values))
        except BadRow as bad:
            raise UserError(f"{row.place}: {bad}") from None
    if not found:
        raise UserError(f"{path}: there are no rows in it.")
    chosen = permutation(len(found), "evaluation", "benchmark rows")[:most]
    return [found[i] for i in sorted(chosen)]
