"""Rows whose better answer is named by the config or by the columns 'chosen' and 'rejected', and a
column beside them that says something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preflab import UserError
from preflab.rows import Row, shown
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import ABOUT, BEFORE, names_worse, twins
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts import doubts, sides
from preflab_builtin.files.verdicts.candidates import (
    Candidate,
    Rows,
    candidates,
    may_judge,
    names_tie,
    names_verdict,
    per_answer,
)
from preflab_builtin.files.verdicts.layouts import How, Layout, Refused
from preflab_builtin.files.verdicts.pointing import NOTHING, Pointer
from preflab_builtin.files.verdicts.spread import amount

_PAIR = ("chosen", "rejected")


@dataclass
class Watch:
    """Columns that agree at a file's start with the answer that is taken for the better one, and
    have to do so in every row. base: the answers. best: the number of that answer. columns: those
    that name an answer, each with what to do about it; numbers: the same of those with a number
    for each answer. found: by column, the place and the value of the first row that says something
    else, and the count of such rows."""

    base: Layout
    best: int
    columns: dict[str, str] = field(default_factory=dict)
    numbers: dict[tuple[How, tuple[str, ...]], str] = field(default_factory=dict)
    found: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def see(self, rows: Sequence[Row]) -> None:
        """Look at rows as they stand in the file."""
        for row in rows:
            self._see(row)

    def _see(self, row: Row) -> None:
        values = row.values
        for name in self.columns:
            if blank(value := values.get(name)):
                continue
            point = self.base.points(value, values)
            other = point == self.best if names_worse(name) else point not in (self.best, NOTHING)
            if other:
                self._count(name, row.place, str(value))
        for how, names in self.numbers:
            if not _is_best(values, names, how, self.best):
                said = ", ".join(str(values.get(name)) for name in names)
                self._count(", ".join(names), row.place, said)

    def _count(self, name: str, place: str, value: str) -> None:
        first, said, count = self.found.get(name, (place, value, 0))
        self.found[name] = (first, said, count + 1)

    def check(self) -> None:
        """`UserError` if some row says something else."""
        cures = {", ".join(names): cure for (_, names), cure in self.numbers.items()}
        for name, (place, value, count) in self.found.items():
            rows = "1 row says" if count == 1 else f"{count} rows say"
            answer = shown(self.base.answers[self.best])
            raise UserError(
                f"{place}: {shown(name)}: is '{shown(value)}'. {rows} that '{answer}' is not the "
                f"better answer, though it would be taken for it. {(self.columns | cures)[name]}."
            )


def check(rows: Rows, settings: RowSettings) -> tuple[list[str], Watch | None]:
    """`Refused` if a column says that the answer named chosen is not the better one in some row at
    the file's start. Otherwise sentences on those that are ignored and may say so, and what the
    other rows have to agree with. rows: as in the file."""
    told = list(_ignored(rows, settings))
    names = {usual: name for name, usual in settings.renamed}
    mapped = any(usual in names for usual in _PAIR)
    chosen, rejected = (names.get(usual, usual) for usual in _PAIR)
    rows = [row for row in rows if not blank(row.get(chosen)) and not blank(row.get(rejected))]
    if not rows:
        return told, None
    columns = frozenset(name for row in rows for name in row)
    families = sides.families(columns)
    family = next((f for f in families if {chosen, rejected} <= set(f.columns)), None)
    answers = family.columns if family else (chosen, rejected)
    base = Layout(None, answers, pointer=Pointer(answers, family is not None))
    best = answers.index(chosen)
    each = per_answer(rows, base, family)
    apart = {name for some in each for name in some.columns}
    silent = (n for n in settings.ignore if names_verdict(n) and _is_silent(rows, n))
    watch = Watch(base, best, {n: _to_read(n, answers, mapped, settings) for n in silent})
    asks = {name for name, usual in settings.renamed if usual not in _PAIR}
    for one in candidates(rows, base, {*apart, *asks, *twins(columns), *ABOUT, *BEFORE, *_PAIR}):
        agrees = all((0 <= point != best if one.worse else point == best) for point in one.points)
        same = len(one.values) < 2 and not (mapped and one.sure and one.named)
        if not (one.named or mapped):
            continue  # it points to a pair by chance
        if agrees and one.sure:
            watch.columns[one.name] = _to_read(one.name, answers, mapped, settings)
        elif same:
            continue
        elif one.name not in settings.ignore or (one.sure and one.named):
            raise Refused(_contradicts(one, answers, chosen, mapped, settings))
    for some in each if mapped else ():
        if some.how is not None and len(some.columns) == len(answers):
            cure = f"To read them: {_numbers(some.how, some.columns, answers, mapped, settings)}"
            watch.numbers[some.how, some.columns] = cure
            _check_numbers(rows, some.how, some.columns, watch)
    return told, watch


def _is_silent(rows: Rows, name: str) -> bool:
    return all(blank(row.get(name)) for row in rows)


def _check_numbers(rows: Rows, how: How, columns: tuple[str, ...], watch: Watch) -> None:
    worse = sum(not _is_best(row, columns, how, watch.best) for row in rows)
    if worse:
        what = f"{', '.join(map(shown, columns))}: say in {worse} of {len(rows)} rows"
        answer, cure = shown(watch.base.answers[watch.best]), watch.numbers[how, columns]
        raise Refused(f"{what} that '{answer}' is not the better answer. {cure}")


def _ignored(rows: Rows, settings: RowSettings) -> Iterator[str]:
    for ignored in settings.ignore:
        values = Counter(str(row[ignored]) for row in rows if not blank(row.get(ignored)))
        if (may_judge(ignored) or names_tie(ignored)) and values:
            shares = ", ".join(f"'{shown(v)}' ({n} rows)" for v, n in values.most_common(3))
            what = "is ignored, though its name says that it judges the answers"
            yield f"'{shown(ignored)}' {what}: {shares}."


def _numbers(
    how: How, columns: Sequence[str], answers: Sequence[str], mapped: bool, settings: RowSettings
) -> str:
    """The options that read columns with a number for each answer."""
    cure = settings.option(f"verdict.{how.name.lower()}=[{','.join(columns)}]")
    return f"{_answers(answers, settings)} {cure}{_instead(mapped, settings)}"


def _to_read(name: str, answers: Sequence[str], mapped: bool, settings: RowSettings) -> str:
    """The options that read a column which names an answer."""
    cure = f"{_answers(answers, settings)} {doubts.winner(name, settings)}"
    return (
        f"To read it: {cure}{_instead(mapped, settings)}. If it is about something else, take the "
        "column out of the file"
    )


def check_demonstrations(rows: Rows, settings: RowSettings) -> Watch | None:
    """`Refused` if the config takes one of several answers for the demonstration, and a column says
    that it is not the better one in some row at the file's start. Otherwise what the other rows
    have to agree with. rows: as in the file."""
    completion = next((name for name, usual in settings.renamed if usual == "completion"), None)
    families = sides.families(frozenset(name for row in rows for name in row))
    family = next((f for f in families if completion in f.columns), None)
    if completion is None or family is None:
        return None
    base = Layout(None, family.columns, pointer=Pointer(family.columns, True))
    best = family.columns.index(completion)
    cure = "Give the file as rankings, or put the better answers into a column"
    watch = Watch(base, best)
    for one in candidates(rows, base, {*ABOUT, *BEFORE}):
        if one.named and one.sure:
            watch.columns[one.name] = cure
        if one.named and len(one.values) > 1 and any(point != best for point in one.points):
            raise Refused(
                f"{shown(one.name)}: holds {doubts.counted(one)}, and seems to say which answer is "
                f"better, but '{completion}' would be learnt in every row. {cure}"
            )
    return watch


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
