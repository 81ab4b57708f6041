"""Rows of a file as samples. Every row is checked: a bad one is named and counted, never dropped
silently."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflab.errors import EXAMPLES, UserError
from preflab.records import Prompt
from preflab.rows import BadRow, Row, read_rows
from preflab_builtin.stored_samples import cells, hints

QUESTIONS = (
    ("question_id",),
    ("prompt_id",),
    ("task_id",),
    ("qid",),
    ("example_id",),
    ("prompt",),
    ("question",),
    ("instruction", "input"),
    ("instruction",),
    ("query",),
    ("problem",),
    ("input",),
    ("id",),
)
"""Columns that name the question of a row in most files, where nobody says which one does."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold a sample. prediction, prompt: None if they are not read.
    separator: between several right answers in one cell. question: what names the question of a
    row; rows of one question depend on each other. no_answer: a row may have no right answer.
    rendered: prompts hold the model's chat template already. reasoning: a generated text is read
    with what the model thought aloud before its answer."""

    prediction: str | None
    prompt: str | None
    references: Sequence[str] = ()
    scores: Sequence[str] = ()
    groups: Sequence[str] = ()
    separator: str | None = None
    question: Sequence[str] = ()
    no_answer: bool = False
    rendered: bool = False
    reasoning: bool = True


@dataclass(frozen=True)
class Sample:
    """A stored generation. scores: by column; group: the values of the group columns; question:
    which rows belong together ("": the row stands alone)."""

    place: str
    prediction: str
    prompt: Prompt | None
    references: tuple[str, ...]
    scores: Mapping[str, float]
    group: tuple[str, ...]
    question: str = ""


@dataclass(frozen=True)
class Stored:
    """The samples of a file. left_out: how many rows are no samples; question: the columns whose
    rows belong together, () if every row stands alone; notes: what a person should know."""

    samples: Sequence[Sample]
    left_out: int
    question: Sequence[str]
    notes: Sequence[str]

    def units(self, at: Sequence[int]) -> list[str]:
        """The question of each of these rows; a row that stands alone is one."""
        return [self.samples[i].question or self.samples[i].place for i in at]


def read_samples(path: Path, columns: Columns, skip_bad: bool, alone: bool) -> Stored:
    """The rows of a file as samples. `UserError` for bad rows unless ``skip_bad``, and if no row is
    left. alone: every row stands alone, whatever its question."""
    samples: list[Sample] = []
    values: list[Mapping[str, Any]] = []
    written: dict[str, dict[bool, str]] = {}
    problems: dict[str, list[str]] = {}
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            samples.append(_sample(row, columns, written))
            values.append(row.values)
        except BadRow as bad:
            problems.setdefault(str(bad), []).append(row.place)
    left_out = _refused(problems, path, len(samples), skip_bad)
    _check_scores(samples, written)
    notes = [*_hints(values, columns), *_remarks(samples, columns)]
    if not columns.reasoning:
        cut = [cells.without_reasoning(sample.prediction) for sample in samples]
        samples = [replace(s, prediction=text) for s, text in zip(samples, cut, strict=True)]
    question = () if alone else tuple(columns.question)
    if not question and not alone:
        question, remarks = _question(values, columns.prompt)
        notes += remarks
    if question:
        keys = [_key(row, question) for row in values]
        samples = [replace(s, question=key) for s, key in zip(samples, keys, strict=True)]
    return Stored(samples, left_out, question, notes)


def _refused(problems: Mapping[str, list[str]], path: Path, kept: int, skip_bad: bool) -> int:
    """How many rows are left out; `UserError` if they may not be."""
    count = sum(map(len, problems.values()))
    named = "".join(
        f"\n  {places[0]}: {reason}{f' (and {len(places) - 1} more rows)' * (len(places) > 1)}"
        for reason, places in [*problems.items()][:EXAMPLES]
    )
    if problems and not skip_bad:
        raise UserError(
            f"{count} of {kept + count} rows cannot be scored:{named}\n"
            "Repair them, name other columns, or leave them out with --skip-bad-rows."
        )
    if not kept:
        raise UserError(f"{path}: no row can be scored.{named}")
    if problems:
        rows = f"{count} row{'s' * (count != 1)}"
        print(f"preflab: {rows} left out:{named}", file=sys.stderr)
    return count


def _sample(row: Row, columns: Columns, written: dict[str, dict[bool, str]]) -> Sample:
    """written: for each score column, the first row that holds a number and the first that holds a
    word."""
    values = row.values
    references = [
        text for c in columns.references for text in cells.answers(values, c, columns.separator)
    ]
    if columns.references and not references and not columns.no_answer:
        reason = (
            "holds no right answer. Leave such rows out, or measure them with --metric squad_f1"
        )
        raise BadRow(columns.references[0], reason)
    scores = {}
    for column in columns.scores:
        scores[column], is_number = cells.score(values, column)
        written.setdefault(column, {}).setdefault(is_number, row.place)
    for column in columns.question:
        cells.value(values, column)
    return Sample(
        row.place,
        cells.text(values, columns.prediction) if columns.prediction else "",
        cells.prompt(values, columns.prompt, row.place, columns.rendered)
        if columns.prompt
        else None,
        tuple(references),
        scores,
        tuple(str(cells.value(values, column)).strip() for column in columns.groups),
    )


def _check_scores(samples: Sequence[Sample], written: Mapping[str, Mapping[bool, str]]) -> None:
    """`UserError` if a column holds words such as pass beside numbers other than 0, 0.5 and 1."""
    for column, places in written.items():
        if len(places) > 1 and not all(s.scores[column] in (0, 0.5, 1) for s in samples):
            raise UserError(
                f"{places[False]}: {column}: holds a word such as pass or no, but {places[True]} "
                "holds a number, and not all numbers are 0 or 1: what they mean together is not "
                "known. Write one kind of value."
            )


def _question(
    rows: Sequence[Mapping[str, Any]], prompt: str | None
) -> tuple[tuple[str, ...], list[str]]:
    """The columns whose values repeat, by their usual names; () if none do, and what to know of
    it."""
    single = ""
    for names in (*([(prompt,)] if prompt else []), *QUESTIONS):
        if all(name in row for row in rows for name in names):
            keys = {_key(row, names) for row in rows}
            if 1 < len(keys) < len(rows):
                return names, []
            single = single or ", ".join(names) * (len(keys) < len(rows))
    if not single:
        return (), []
    return (), [
        f"All rows have the same {single}: if that is the question, the intervals are about other "
        "answers to it, and not about other questions."
    ]


def _key(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    parts = [row.get(c) if c in row else cells.value(row, c) for c in columns]
    return json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)


def _hints(rows: Sequence[Mapping[str, Any]], columns: Columns) -> list[str]:
    hints = []
    for column in columns.references if columns.separator is None else ():
        contents = [row.get(column) for row in rows]
        texts = [c for c in contents if isinstance(c, str)]
        lists = [c for c in texts if cells.written_list(c, column) is not None]
        if lists:
            hints.append(
                f"{len(lists)} cells of '{column}' are lists written as text: read as lists."
            )
        plain = [c for c in texts if cells.written_list(c, column) is None]
        found = cells.likely_separator(plain)
        if found:
            separator, count = found
            hints.append(
                f"{count} of {len(plain)} cells of '{column}' hold {separator!r}. If it stands "
                f"between several right answers, add --reference-separator {_shell(separator)}; "
                "as it is, each cell is one answer."
            )
    return hints


def _remarks(samples: Sequence[Sample], columns: Columns) -> Iterator[str]:
    for column in columns.scores:
        yield from hints.about_scores(column, [sample.scores[column] for sample in samples])
    yield from hints.about_groups(columns.groups, [sample.group for sample in samples])
    yield from hints.about_reasoning([s.prediction for s in samples], not columns.reasoning)


def _shell(separator: str) -> str:
    r"""A separator as one types it.

    >>> _shell("\t"), _shell(";")
    ("$'\\t'", "';'")
    """
    escaped = separator.encode("unicode_escape").decode("ascii")
    return f"$'{escaped}'" if escaped != separator else f"'{separator}'"
