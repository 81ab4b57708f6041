"""Rows of a file as samples. Every row is checked: a bad one is named and counted, never dropped
silently."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.errors import UserError, nearest
from preflab.rows import BadRow, Row, read_rows

SHOWN = 3
"""Reasons that a message names, each with its first row; all bad rows are counted."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold a sample. prediction, prompt: None if they are not read."""

    prediction: str | None
    prompt: str | None
    references: Sequence[str]
    scores: Sequence[str]
    groups: Sequence[str]


@dataclass(frozen=True)
class Sample:
    """A stored generation. scores: by column; group: the values of the group columns."""

    prediction: str
    prompt: str
    references: tuple[str, ...]
    scores: Mapping[str, float]
    group: tuple[str, ...]


def read_samples(path: Path, columns: Columns, skip_bad: bool) -> tuple[list[Sample], int]:
    """The rows of a file as samples, and how many were left out. `UserError` for bad rows unless
    ``skip_bad``, and if no row is left."""
    samples: list[Sample] = []
    problems: dict[str, list[str]] = {}
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            samples.append(_sample(row, columns))
        except BadRow as bad:
            problems.setdefault(str(bad), []).append(row.place)
    count = sum(map(len, problems.values()))
    named = "".join(
        f"\n  {places[0]}: {reason}{f' (and {len(places) - 1} more rows)' * (len(places) > 1)}"
        for reason, places in [*problems.items()][:SHOWN]
    )
    if problems and not skip_bad:
        raise UserError(
            f"{count} of {len(samples) + count} rows cannot be scored:{named}\n"
            "Repair them, name other columns, or leave them out with --skip-bad-rows."
        )
    if not samples:
        raise UserError(f"{path}: no row can be scored.{named}")
    if problems:
        print(f"preflab: {count} rows left out:{named}", file=sys.stderr)
    return samples, count


def _sample(row: Row, columns: Columns) -> Sample:
    references = [text for column in columns.references for text in _references(row, column)]
    scores = {column: _number(row, column) for column in columns.scores}
    return Sample(
        _text(row, columns.prediction),
        _text(row, columns.prompt),
        tuple(references),
        scores,
        tuple(str(_value(row, column)) for column in columns.groups),
    )


def _value(row: Row, column: str) -> Any:
    value = row.values.get(column)
    if value is not None:
        return value
    if column in row.values:
        raise BadRow(column, "is null")
    raise BadRow(column, f"is not a column. {nearest(column, map(str, row.values))}")


def _text(row: Row, column: str | None) -> str:
    if column is None:
        return ""
    value = _value(row, column)
    if not isinstance(value, str):
        raise BadRow(column, f"must be a text, not {value!r:.60}")
    return value


def _references(row: Row, column: str) -> list[str]:
    value = _value(row, column)
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRow(column, f"must be a text or a list of texts, not {value!r:.60}")
    return texts


def _number(row: Row, column: str) -> float:
    value = _value(row, column)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadRow(column, f"must be a finite number, not {value!r:.60}")
    return number
