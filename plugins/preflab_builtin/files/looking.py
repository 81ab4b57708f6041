"""What is known of a file before its rows are read: from the rows at its start and, where these do
not show it, from all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab.rows import BadRow, Row, read_rows
from preflab_builtin.files import shapes
from preflab_builtin.files.asking import Case
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.verdicts import finding, overlooked
from preflab_builtin.files.verdicts.layouts import Layout, Refused
from preflab_builtin.files.verdicts.overlooked import Watch
from preflab_builtin.files.verdicts.pointing import NOTHING, number


def cases(head: Sequence[Sequence[Row]], reading: Reading) -> list[Case]:
    """What the rows at a file's start say, as far as they can be read."""
    reading = Reading(reading.settings, layout=reading.layout, likes=reading.likes)
    found: list[Case] = []  # the reading is new, so that nothing is counted twice
    for rows in head:
        try:
            found += shapes.cases([reading.view(row.values) for row in rows], reading)
        except BadRow:
            continue
    return found


def verdicts_beside(
    head: Sequence[Sequence[Row]], reading: Reading
) -> tuple[list[str], Watch | None]:
    """Sentences on columns that may say that 'chosen' is not the better answer, and what all other
    rows have to agree with; `UserError` if one says so."""
    settings = reading.settings
    rows = [row.values for group in head for row in group if row.problem is None]
    try:
        if settings.record_type == "demonstrations":
            return [], overlooked.check_demonstrations(rows, settings)
        if settings.record_type != "rankings" or settings.verdict.columns:
            return [], None
        return overlooked.check(rows, settings)
    except Refused as refused:
        raise _error(head, refused) from None


def layout(path: Path, head: Sequence[Sequence[Row]], reading: Reading) -> Layout | None:
    """The layout of a file of rows with several answers; None if most rows have another shape.
    `UserError` if it is not certain which answers are the better ones."""
    settings = reading.settings
    if settings.record_type not in ("prompts", "rankings"):
        return None
    rows = list(_views((row for group in head for row in group), reading))
    pointing = False
    if not settings.verdict.columns and settings.format != "compared":
        found = finding.pair_points(rows) or finding.lists_of_turns(rows)
        pointing = settings.format is None and found
        others = rows if pointing else [row for row in rows if not shapes.fits(row, settings)]
        if settings.format is not None or len(others) <= len(rows) / 2:
            return None
        rows = others
    try:
        made = finding.layout(rows, settings, lambda made: _numbers(path, made, reading))
    except Refused as refused:
        raise _error(head, refused) from None
    return replace(made, first=True) if made is not None and pointing else made


def _error(head: Sequence[Sequence[Row]], refused: Refused) -> UserError:
    said = str(refused)
    return UserError(f"{head[0][0].place}: {said}{'' if said[-1] in '.?!' else '.'}")


def _views(rows: Iterator[Row], reading: Reading) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        try:
            if row.problem is None:
                yield reading.view(row.values)
        except BadRow:
            continue


def _numbers(path: Path, made: Layout, reading: Reading) -> set[tuple[float, int]]:
    """The numbers of the deciding column that point to nothing, each with the number of answers."""
    (name,) = made.columns
    found = set()
    for row in _views(read_rows(path), Reading(reading.settings)):
        value = number(row.get(name))
        if value is not None and made.points(row[name], row) == NOTHING:
            found.add((value, len(made.texts(row))))
    return found
