"""What decides between the answers of a row. Where it is not certain, it is refused with what to
say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import ABOUT, BEFORE, FACTS, words_of
from preflab_builtin.files.verdicts import doubts
from preflab_builtin.files.verdicts.candidates import (
    INDEX,
    Candidate,
    Rows,
    candidates,
    per_answer,
)
from preflab_builtin.files.verdicts.layouts import How, Layout, Refused
from preflab_builtin.files.verdicts.sides import Family

_NO_OPINION = {*FACTS, "shown", "order", "position", "length", "longer", "shorter"}

Numbers = Callable[[Layout], set[tuple[float, int]]]
"""The numbers of the deciding column in the whole file, each with the number of answers in its
row."""


def decided(rows: Rows, base: Layout, family: Family | None, settings: RowSettings) -> Layout:
    """The layout with what decides; `Refused` where nothing does for certain."""
    each = per_answer(rows, base, family)
    apart = {name for some in each for name in some.columns}
    found = candidates(rows, base, {*apart, *ABOUT, *BEFORE})
    named = [one for one in found if one.named]
    counting = [one for one in named if not one.worse]
    marks = [some for some in each if some.how is How.WINS]
    sure = [one for one in counting if one.sure and one.plain]
    doubtful = [one for one in counting if one.sure and not one.plain]
    if not sure and not marks:
        sure = [one for one in counting if one.numeric and one.plain]
    if any(one.points != sure[0].points or not one.sure for one in [*sure, *doubtful][1:] if sure):
        raise Refused(doubts.which([one.name for one in (*sure, *doubtful)], settings))
    if sure:
        worse = [one for one in named if one.sure and one.worse]
        others = [one for one in found if not one.named and _opinion(one)]
        rivals = tuple(one.name for one in (*sure[1:], *doubtful, *worse, *others))
        return replace(base, how=How.WINNER, columns=(sure[0].name,), rivals=rivals)
    if len(marks) == 1:
        return replace(base, how=How.WINS, columns=marks[0].columns)
    if len(doubtful) > 1:
        raise Refused(doubts.which([one.name for one in doubtful], settings))
    if named:
        raise Refused(doubts.unclear((*doubtful, *named)[0], base, settings))
    known = [some for some in each if some.how is not None]
    if len(known) == 1 and not found:
        return replace(base, how=known[0].how, columns=known[0].columns)
    if each or found:
        raise Refused(doubts.several(each, found, base, settings))
    raise Refused(doubts.nothing({name for row in rows for name in row}, base, settings))


def _opinion(one: Candidate) -> bool:
    """Whether a column says of the answers which is better though its name does not (gpt4_says):
    its values point to more than one, and it is no fact about the row (model, first_shown)."""
    pointed = {point for point in one.points if point >= 0}
    return one.sure and len(pointed) > 1 and not _NO_OPINION.intersection(words_of(one.name))


def numbered(layout: Layout, settings: RowSettings, numbers: Numbers) -> Layout:
    """The layout with the number of the first answer, where the column's values are numbers and the
    file shows it. A file in which neither the first nor the last number is used does not."""
    (name,) = layout.columns
    seen = numbers(layout) if layout.start is None else set()
    if not seen:
        return layout
    if any(value < 0 or not value.is_integer() for value, _ in seen):
        raise Refused(doubts.scale(name, seen, layout, settings))
    zero, top = (any(value == end(k) for value, k in seen) for end in (_nought, _last))
    own, k = layout.pointer.numbers, len(layout.answers)
    counts = layout.listed or k > 2 or top or bool(INDEX & set(words_of(name)))
    start = 0 if zero else 1
    fits = all(value < k + start for value, k in seen)
    meant = {str(int(v)): int(v) - start for v, _ in seen}
    agrees = not own or all(own.get(value) == place for value, place in meant.items())
    if zero != top and fits and counts and agrees:
        return replace(layout, start=start)
    if not zero and not top and own and all(value in own for value in meant):
        return replace(layout, start=min(map(int, own)))
    raise Refused(doubts.numbers(name, seen, layout, settings))


def _nought(count: int) -> int:
    return 0


def _last(count: int) -> int:
    return count
