"""Rows of a test set as cases: columns of any name, every row checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from preflab import UserError
from preflab.errors import nearest
from preflab.randomness import permutation
from preflab.rows import BadRow, Row, shown, type_name
from preflab.rows.fields import checked_text
from preflab.templates import pieces
from preflab_builtin.benchmarks.config import (
    GenerationConfig,
    MultipleChoiceConfig,
    RowsConfig,
    SentencePairsConfig,
    columns_of,
)
from preflab_builtin.benchmarks.forms import parallel_rows, read_form

Values = Mapping[str, Any]


class Grouped(Protocol):
    """A case with a group."""

    @property
    def group(self) -> str:
        """The value of the group column; "" without such a column."""

    @property
    def unit(self) -> str:
        """What it has in common with cases that depend on it."""


Case = TypeVar("Case", bound=Grouped)


@dataclass(frozen=True)
class Question:
    """A prompt that is answered in free text. place: ``file:line``."""

    place: str
    group: str
    unit: str
    prompt: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Answers to choose from; right: for each whether it is right; best: the position of the best
    right answer, where the set names one."""

    place: str
    group: str
    unit: str
    prompt: str
    answers: tuple[str, ...]
    right: tuple[bool, ...]
    best: int | None = None


@dataclass(frozen=True)
class Sentences:
    """Sentences to compare, the stereotype first."""

    place: str
    group: str
    unit: str
    texts: tuple[str, ...]


def questions(config: GenerationConfig) -> list[Question]:
    """The rows of the file; `UserError` with ``file:line: field: reason`` at a bad one."""

    def case(place: str, row: Values) -> Question:
        nothing = config.no_answer is not None
        references = [
            text
            for column in config.references
            for text in texts(row, column, config.separator, nothing)
        ]
        prompt = filled(config.template, row)
        group, unit = _group(row, config.group), _unit(row, config.unit, prompt)
        return Question(place, group, unit, prompt, tuple(references))

    if not config.parallel:
        return _read(config, case)
    columns = columns_of(config.template)[0], config.references[0]
    rows = parallel_rows(Path(config.path), Path(config.parallel), *columns)
    return _cases(rows, config, case)


def choices(config: MultipleChoiceConfig) -> list[Choice]:
    """The same, with answers to choose from."""

    def case(place: str, row: Values) -> Choice:
        answers, right, best = _answers(row, config)
        prompt = filled(config.template, row)
        group, unit = _group(row, config.group), _unit(row, config.unit, prompt)
        return Choice(place, group, unit, prompt, tuple(answers), tuple(right), best)

    return _read(config, case)


def sentences(config: SentencePairsConfig) -> list[Sentences]:
    """The same, with sentences to compare."""

    def case(place: str, row: Values) -> Sentences:
        texts = tuple(checked_text(value(row, column), column) for column in config.sentences)
        if len(set(texts)) < len(texts):
            columns = ", ".join(config.sentences)
            raise BadRow(config.sentences[-1], f"is the same sentence as another one of {columns}")
        return Sentences(place, _group(row, config.group), _unit(row, config.unit, texts[0]), texts)

    return _read(config, case)


def by_group(cases: Sequence[Grouped]) -> Iterator[tuple[str, list[int]]]:
    """("", all positions), then ("/GROUP", the positions of its cases) in alphabetical order."""
    yield "", list(range(len(cases)))
    for group in sorted({case.group for case in cases} - {""}):
        yield f"/{group}", [i for i, case in enumerate(cases) if case.group == group]


# --- columns ---


def value(row: Values, column: str) -> Any:
    """The value of a column; ``outer.inner`` is read from an object if no column has this name."""
    if column not in row:
        outer, _, inner = column.partition(".")
        if not inner or not isinstance(row.get(outer), dict):
            raise BadRow(shown(column), f"is not a column. {nearest(column, map(shown, row))}")
        return value(row[outer], inner)
    if row[column] is None:
        raise BadRow(shown(column), "is null")
    return row[column]


def texts(row: Values, column: str, separator: str | None, may_be_empty: bool = False) -> list[str]:
    """The texts of a column: one text, several with a separator between them, or a list of texts.
    None of them may be blank. may_be_empty: there may be none."""
    content = value(row, column)
    if may_be_empty and not content:
        return []
    if isinstance(content, str) and separator:
        several: list[Any] = [part.strip() for part in content.split(separator) if part.strip()]
    else:
        several = list(content) if isinstance(content, (list, tuple)) else [content]
    if not several:
        raise BadRow(shown(column), "holds no text")
    return [
        checked_text(text, f"{column}[{i}]" if len(several) > 1 else column)
        for i, text in enumerate(several)
    ]


def filled(template: str, row: Values) -> str:
    """The template with its columns filled in. A template cannot reach anything but columns.

    >>> filled("Q: {q} ({a.b})", {"q": "why?", "a": {"b": 1}})
    'Q: why? (1)'
    """
    parts = []
    for before, column in pieces(template):
        parts.append(before)
        if column:
            content = value(row, column)
            number = isinstance(content, (int, float))
            parts.append(str(content) if number else checked_text(content, column, blank=True))
    return "".join(parts)


def _answers(row: Values, config: MultipleChoiceConfig) -> tuple[list[str], list[bool], int | None]:
    """Answers, which of them are right, and the best right one."""
    best: int | None = None
    if config.answers:
        answers, right = list(config.answers), _labelled(row, config)
    elif config.choices is not None:
        answers, right = _listed(row, config)
    else:
        answers, right, best = _right_and_wrong(row, config)
    closing = config.closing
    closed = [text if text.endswith(closing) else text + closing for text in answers]
    return closed, right, best


def _labelled(row: Values, config: MultipleChoiceConfig) -> list[bool]:
    """Which of the fixed answers is right, by its number, itself, or its label."""
    assert config.correct is not None
    content = value(row, config.correct)
    if config.labels and (isinstance(content, bool) or not _is_number(content)):
        word = str(content).strip().lower()
        names = [label.lower() for label in config.labels]
        if word not in names:
            reason = f"is {shown(str(content))!r} but must be one of {', '.join(config.labels)}"
            raise BadRow(config.correct, reason)
        return [name == word for name in names]
    if isinstance(content, str) and content in config.answers:
        return [answer == content for answer in config.answers]
    index = _index(content, len(config.answers), config.correct)
    return [i == index for i in range(len(config.answers))]


def _is_number(content: Any) -> bool:
    return isinstance(content, int) or (isinstance(content, str) and content.strip().isdecimal())


def _listed(row: Values, config: MultipleChoiceConfig) -> tuple[list[str], list[bool]]:
    """Answers in one column, and which of them is right in another."""
    assert config.choices is not None
    assert config.correct is not None
    answers, correct = texts(row, config.choices, config.separator), value(row, config.correct)
    if isinstance(correct, (list, tuple)):
        if len(correct) != len(answers) or not set(correct) <= {0, 1}:
            raise BadRow(
                config.correct,
                f"must hold a 0 or 1 for each of the {len(answers)} choices, not {correct!r:.60}",
            )
        right = [bool(mark) for mark in correct]
    elif isinstance(correct, str) and correct in answers:
        right = [answer == correct for answer in answers]
    else:
        index = _index(correct, len(answers), config.correct)
        right = [i == index for i in range(len(answers))]
    return answers, _some(right, config.correct)


def _index(correct: Any, count: int, column: str) -> int:
    whole = isinstance(correct, int) and not isinstance(correct, bool)
    if not whole and not (isinstance(correct, str) and correct.strip().isdecimal()):
        given = repr(correct)[:60] if isinstance(correct, str) else type_name(correct)
        raise BadRow(
            column,
            f"is {given} but must be a number from 0, one of the choices, or a list of 0 and 1",
        )
    index = int(correct)
    if not 0 <= index < count:
        raise BadRow(
            column, f"is {correct} but must be 0 to {count - 1}: there are {count} choices"
        )
    return index


def _right_and_wrong(
    row: Values, config: MultipleChoiceConfig
) -> tuple[list[str], list[bool], int | None]:
    """Columns of right and of wrong answers, and the position of the best right one. With a best
    answer every answer counts as often as it is given, as TruthfulQA's authors count."""
    right, wrong = (
        [text for name in names for text in texts(row, name, config.separator)]
        for names in (config.right, config.wrong)
    )
    best: int | None = None
    if config.best is not None:
        first = checked_text(value(row, config.best), config.best).strip()
        same = [text.rstrip(".") == first.rstrip(".") for text in right]
        right = right if any(same) else [first, *right]
        best = same.index(True) if any(same) else 0
    else:
        right, wrong = list(dict.fromkeys(right)), list(dict.fromkeys(wrong))
        twice = next((text for text in wrong if text in right), None)
        if twice is not None:
            reason = f"holds '{shown(twice)}', which is among the right answers too"
            raise BadRow(config.wrong[0], reason)
    marks = [True] * len(right) + [False] * len(wrong)
    return [*right, *wrong], _some(marks, config.right[0]), best


def _some(right: list[bool], column: str) -> list[bool]:
    """The same marks, if they mark some answers as right and not all."""
    if all(right) or not any(right):
        number = "every" if all(right) else "no"
        raise BadRow(column, f"makes {number} answer right: there is nothing to choose")
    return right


def _group(row: Values, column: str | None) -> str:
    return "" if column is None else str(value(row, column)).strip() or "none"


def _unit(row: Values, column: str | None, prompt: str) -> str:
    """What a case has in common with others; its prompt, if the row lacks the column."""
    try:
        return prompt if column is None else str(value(row, column))
    except BadRow:
        return prompt


def _read(config: RowsConfig, case: Callable[[str, Values], Case]) -> list[Case]:
    return _cases(read_form(config.form, Path(config.path)), config, case)


def _cases(
    rows: Iterable[Row], config: RowsConfig, case: Callable[[str, Values], Case]
) -> list[Case]:
    cases: list[Case] = []
    for row in rows:
        try:
            if row.problem is not None:
                raise row.problem
            cases.append(case(row.place, row.values))
        except BadRow as bad:
            raise UserError(f"{row.place}: {bad}") from None
    if not cases:
        raise UserError(f"{config.path}: there are no rows in it.")
    chosen = permutation(len(cases), "evaluation", "benchmark rows")[: config.rows]
    return [cases[i] for i in sorted(chosen)]
