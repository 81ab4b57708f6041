"""Rows whose better answer is named by the config or by the columns 'chosen' and 'rejected', and a
column beside them that says something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preflab.rows import shown
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import ABOUT, BEFORE, twins
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts import doubts, sides
from preflab_builtin.files.verdicts.candidates import (
    Candidate,
    Rows,
    amount,
    candidates,
    may_judge,
    names_tie,
    per_answer,
)
from preflab_builtin.files.verdicts.layouts import How, Layout, Refused
from preflab_builtin.files.verdicts.pointing import Pointer

_PAIR = ("chosen", "rejected")


def check(rows: Rows, settings: RowSettings) -> Iterator[str]:
    """`Refused` if a column says that the answer named chosen is not the better one in some row at
    the file's start; a sentence on one that is ignored and may say so. rows: as in the file."""
    for ignored in settings.ignore:
        values = Counter(str(row[ignored]) for row in rows if not blank(row.get(ignored)))
        if (may_judge(ignored) or names_tie(ignored)) and values:
            shares = ", ".join(f"'{shown(v)}' ({n} rows)" for v, n in values.most_common(3))
            what = "is ignored, though its name says that it judges the answers"
            yield f"'{shown(ignored)}' {what}: {shares}."
    names = {usual: name for name, usual in settings.renamed}
    mapped = any(usual in names for usual in _PAIR)
    chosen, rejected = (names.get(usual, usual) for usual in _PAIR)
    rows = [row for row in rows if not blank(row.get(chosen)) and not blank(row.get(rejected))]
    if not rows:
        return
    columns = frozenset(name for row in rows for name in row)
    families = sides.families(columns)
    family = next((f for f in families if {chosen, rejected} <= set(f.columns)), None)
    answers = family.columns if family else (chosen, rejected)
    base = Layout(None, answers, pointer=Pointer(answers, family is not None))
    best = answers.index(chosen)
    each = per_answer(rows, base, family)
    apart = {name for some in each for name in some.columns}
    asks = {name for name, usual in settings.renamed if usual not in _PAIR}
    for one in candidates(rows, base, {*apart, *asks, *twins(columns), *ABOUT, *BEFORE, *_PAIR}):
        agrees = all((0 <= point != best if one.worse else point == best) for point in one.points)
        same = len(one.values) < 2 and not (mapped and one.sure and one.named)
        if (agrees and one.sure) or same or not (one.named or mapped):
            continue  # it agrees, says the same in every row, or points to a pair by chance
        if one.name not in settings.ignore or (one.sure and one.named):
            raise Refused(_contradicts(one, answers, chosen, mapped, settings))
    for some in (some for some in each if mapped and len(some.columns) == len(answers)):
        worse = sum(not _is_best(row, some.columns, some.how, best) for row in rows)
        if some.how is not None and worse:
            what = f"{', '.join(map(shown, some.columns))}: say in {worse} of {len(rows)} rows"
            cure = settings.option(f"verdict.{some.how.name.lower()}=[{','.join(some.columns)}]")
            raise Refused(
                f"{what} that '{shown(chosen)}' is not the better answer. To read them: "
                f"{_answers(answers, settings)} {cure}{_instead(mapped, settings)}"
            )


def check_demonstrations(rows: Rows, settings: RowSettings) -> None:
    """`Refused` if the config takes one of several answers for the demonstration, and a column says
    that it is not the better one in some row. rows: as in the file."""
    completion = next((name for name, usual in settings.renamed if usual == "completion"), None)
    families = sides.families(frozenset(name for row in rows for name in row))
    family = next((f for f in families if completion in f.columns), None)
    if completion is None or family is None:
        return
    base = Layout(None, family.columns, pointer=Pointer(family.columns, True))
    best = family.columns.index(completion)
    for one in candidates(rows, base, {*ABOUT, *BEFORE}):
        if one.named and len(one.values) > 1 and any(point != best for point in one.points):
            raise Refused(
                f"{shown(one.name)}: holds {doubts.counted(one)}, and seems to say which answer is "
                f"better, but '{completion}' would be learnt in every row. Give the file as "
                "rankings, or put the better answers into a column"
            )


def _contradicts(
    one: Candidate, answers: Sequence[str], chosen: str, mapped: bool, settings: RowSettings
) -> str:
    layout = Layout(None, tuple(answers), pointer=Pointer(tuple(answers)))
    winner = settings.option(f"verdict.winner={shown(one.name)}")
    cure = f"{_answers(answers, settings)} {winner}"
    if not one.sure or one.worse:
        cure += f" {doubts.explained(one, layout, settings)}"
    return (
        f"{shown(one.name)}: holds {doubts.counted(one)}, and seems to say which answer is better, "
        f"but '{shown(chosen)}' would be taken for the better one in every row. To read it: {cure}"
        f"{_instead(mapped, settings)}. If it is about something else, take the column out of the "
        "file"
    )


def _answers(answers: Sequence[str], settings: RowSettings) -> str:
    return settings.option(f"verdict.answers=[{','.join(answers)}]")


def _instead(mapped: bool, settings: RowSettings) -> str:
    return f", without {settings.option('columns.chosen')} and its like" if mapped else ""


def _is_best(row: Mapping[str, Any], columns: Sequence[str], how: How | None, best: int) -> bool:
    numbers = [amount(row.get(name)) for name in columns]
    own = numbers[best]
    others = [value for i, value in enumerate(numbers) if i != best and value is not None]
    if own is None:
        return True
    return all(own < value if how is How.RANKS else own > value for value in others)
