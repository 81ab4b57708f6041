"""Answers that begin with their prompt: the form of sets that were made for scoring whole texts.
Read as they are, the prompt would be there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from preflab.rows import BadRow, Row
from preflab_builtin.files import shapes
from preflab_builtin.files.asking import Case
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.config import RowSettings

HEAD = 200
"""Groups of rows at the start of a file that decide its form."""
_NEARLY_ALL = 0.95
_SHORTEST = 8
"""Characters of a prompt below which an answer may begin with it by chance."""


def repeat(head: Iterable[Sequence[Row]], settings: RowSettings) -> bool:
    """Whether nearly all rows of a file's start have answers that begin with their prompt."""
    reading, found = Reading(settings), list[bool]()
    for rows in head:
        try:
            cases = shapes.cases([reading.view(row.values) for row in rows], reading)
        except BadRow:
            continue
        found += [begins for case in cases if (begins := _begins(case)) is not None]
    return bool(found) and sum(found) >= _NEARLY_ALL * len(found)


def once(case: Case, reading: Reading) -> Case:
    """The case with its prompt once; `BadRow` for one of another form than the file. Where the file
    has no such form, it is only counted."""
    begins = _begins(case)
    if begins and not reading.repeats:
        reading.remarks[Remark.BEGINS] += 1
    if begins is None or not reading.repeats:
        return case
    if not begins:
        reason = "does not begin with its prompt, as it does in nearly all other rows"
        skip = reading.settings.option("on_bad_row=skip")
        raise BadRow("response", f"{reason}. Mend it, or leave it out: {skip}")
    reading.remarks[Remark.TAKEN_OFF] += 1
    start, chat = _start(case), bool(case.asked.messages)
    rest = [response[len(start) :] for response in case.responses]
    if not all(text.strip() for text in rest):
        raise BadRow("response", "is empty after its prompt, which it repeats")
    return replace(case, responses=tuple(text.lstrip() if chat else text for text in rest))


def _start(case: Case) -> str:
    return case.asked.messages[-1].content if case.asked.messages else case.asked.text


def _begins(case: Case) -> bool | None:
    """None: there is nothing to compare."""
    start = _start(case)
    if not case.responses or len(start.strip()) < _SHORTEST:
        return None
    return all([response.startswith(start) for response in case.responses])
