"""Why the verdicts of a file are not certain, and what the user has to say: sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from preflab.rows import shown
from preflab_builtin.files.config import PLACES, RowSettings
from preflab_builtin.files.names import ASKS, names_worse, parts_of
from preflab_builtin.files.verdicts.candidates import RANKS, Candidate, Numbers, may_judge
from preflab_builtin.files.verdicts.layouts import How, Layout
from preflab_builtin.files.verdicts.pointing import NOTHING, spelled
from preflab_builtin.files.verdicts.sides import families

_SHOWN = 6
"""Values that a message names."""
_SIMPLE = re.compile(r"[\w.-]+", re.ASCII)
"""A value that a shell and a config take without quotes."""
_JUDGES = re.compile(r"[<>]|better|best|wins|won\b|winner|preferred|chosen")
"""What a value says for itself, whatever its column is called."""


def which(names: Sequence[str], settings: RowSettings) -> str:
    """Several columns that may name the best answer and do not agree."""
    options = " or ".join(settings.option(f"verdict.winner={shown(name)}") for name in names)
    has = " and ".join(f"'{shown(name)}'" for name in names)
    return f"columns: {has} may all say which answer is better. Say which does: {options}"


def winner(name: str, settings: RowSettings) -> str:
    """The option that names a column; of one that is of the worse answer, with its values."""
    option = settings.option(f"verdict.winner={shown(name)}")
    if not names_worse(name):
        return option
    places = (dots(f"verdict.{place}", True, settings) for place in PLACES[:2])
    return f"{option} {' '.join(places)} (it seems to name the worse answer)"


def several(
    each: Sequence[Numbers], found: Sequence[Candidate], layout: Layout, settings: RowSettings
) -> str:
    """Columns that may decide, none of them for certain."""
    if len(found) == 1 and not each:
        return unclear(found[0], layout, settings)
    options = [option for some in each for option in _of_numbers(some, layout, settings)]
    for one in found:
        meant = f" {_dots(one, layout, settings)}" if one.worse or not one.sure else ""
        options.append(f"{settings.option(f'verdict.winner={shown(one.name)}')}{meant}")
    names = [name for some in each for name in some.columns] + [one.name for one in found]
    what = f"columns: {', '.join(map(shown, names))} may say which answer is better"
    return f"{what}. Say which do: {', or '.join(options)}"


def _of_numbers(some: Numbers, layout: Layout, settings: RowSettings) -> list[str]:
    """The options that read columns with a number for each answer, with what each says. Of two
    answers, the number of the one read as that of the other turns the order round."""

    def said(how: How, columns: Sequence[str], means: str) -> str:
        what = settings.option(f"verdict.{how.name.lower()}=[{','.join(columns)}]")
        return f"{what} ({means})"

    means = {How.SCORES: "higher is better", How.RANKS: "1 is the best", How.WINS: "a mark is good"}
    if some.how is not None:
        return [said(some.how, some.columns, means[some.how])]
    if some.named:
        means = {How.RANKS: "the best first; else turn the lists round", How.SCORES: "votes"}
    if some.named or some.words & RANKS:
        return [said(how, some.columns, means[how]) for how in (How.RANKS, How.SCORES)]
    how = How.WINS if some.marks else How.SCORES
    good, bad = means[how], "a mark is bad" if some.marks else "lower is better"
    if len(some.columns) == 2:
        turned = said(how, some.columns[::-1], f"{bad}: each is read for the other answer")
        return [turned] if some.worse else [said(how, some.columns, good), turned]
    signs = "turn the signs round in the file"
    signs = f"first {signs}" if some.worse else f"{good}; where lower is, {signs}"
    return [said(how, some.columns, signs)]


def nothing(names: Iterable[str], layout: Layout, settings: RowSettings) -> str:
    """Answers, and no column that is known to judge them."""
    answers = " and ".join(map(shown, layout.answers))
    others = sorted(name for name in names if name not in layout.needs())
    have = f" The other columns: {', '.join(map(shown, others))}." if others else ""
    if settings.ignore:
        have += f" {settings.option('ignore')} leaves out {', '.join(map(shown, settings.ignore))}."
    one = settings.option("verdict.winner=NAME")
    each = "NAME" if layout.listed else ",".join(["NAME"] * len(layout.answers))
    many = settings.option(f"verdict.scores=[{each}]")
    fixed = f"{settings.option('columns.chosen=NAME')} {settings.option('columns.rejected=NAME')}"
    same = "" if layout.listed else f" If one column holds the better answer in every row: {fixed}"
    return (
        f"columns: {answers} hold answers, and no column is known to say which is the better one."
        f"{have} Name the one that does: {one}, or those with a score for each: {many} (or "
        f"verdict.ranks, verdict.wins).{same}"
    )


def no_question(names: Iterable[str], layout: Layout, settings: RowSettings) -> str:
    """Answers, and no column that is known to hold the question."""
    answers = " and ".join(map(shown, layout.answers))
    others = sorted(n for n in names if n not in layout.needs() and not may_judge(n))
    likely = [n for n in others if set(parts_of(n)) & {*ASKS, "request", "ask", "user", "post"}]
    cure = settings.option(f"columns.prompt={shown((likely or ['NAME'])[0])}")
    have = f" of {', '.join(map(shown, others))}" if others else ""
    return (
        f"columns: {answers} hold answers; which column{have} holds the question? Name it: {cure}"
    )


def unclear(one: Candidate, layout: Layout, settings: RowSettings) -> str:
    """A column that may say which answer is better, and that is not understood for certain."""
    name = shown(one.name)
    said = f"{name}: holds {counted(one)}"
    winner = settings.option(f"verdict.winner={name}")
    if one.worse and not layout.listed and len(layout.answers) > 2:
        other, ranks = settings.option("verdict.winner=NAME"), settings.option("verdict.ranks")
        why = "and seems to name another answer than the best, which does not say which is"
        return f"{said}, {why}. Name another column: {other} (or {ranks}, verdict.scores)"
    if one.sure and not one.worse:
        return f"{said}, which are answers. If it says which is the better one: {winner}"
    if one.of_both and one.of_both == one.points.count(NOTHING) and not one.worse:
        skip = settings.option("on_bad_row=skip")
        what = f"{said}. In {one.of_both} of the rows this names several of the answers"
        return f"{what}, and not the better one. To leave such rows out, counted: {winner} {skip}"
    cure = f"{winner} {explained(one, layout, settings)}"
    known = [value for value, at in one.meant.items() if at != NOTHING]
    if known and not one.worse:
        unknown = ", ".join(f"'{shown(v)}'" for v, at in one.meant.items() if at == NOTHING)
        skip = settings.option("on_bad_row=skip")
        return (
            f"{said}. What {unknown} means is not known. If it is an answer or a tie, say which: "
            f"{cure}. To leave such rows out, counted: {winner} {skip}"
        )
    if one.worse:
        return f"{said}, and seems to name the worse answer. Then give the better one: {cure}"
    return f"{said}. If it says which answer is better, say what they mean: {cure}"


def explained(one: Candidate, layout: Layout, settings: RowSettings) -> str:
    """The options that say what the values of a column mean: of two answers that it calls the
    worse, the other. Of values that are not known, the user has to say it."""
    turned = one.worse and one.sure and len(layout.answers) == 2
    if not turned or any(map(_JUDGES.search, one.meant)):  # loser: "A is better"
        return _dots(one, layout, settings)
    meant = {value: 1 - at if at >= 0 else at for value, at in one.meant.items()}
    return _meanings(meant, layout, settings)


def _dots(one: Candidate, layout: Layout, settings: RowSettings) -> str:
    """The options that explain values, without the values: an example could be pasted as it is."""
    count = 2 if layout.listed else min(len(layout.answers), len(PLACES))
    simple = all(map(_SIMPLE.fullmatch, one.meant))
    options = [dots(f"verdict.{place}", simple, settings) for place in (*PLACES[:count], "tie")]
    return " ".join(options) + _first(layout)


def unknown(name: str, layout: Layout, settings: RowSettings) -> str:
    """What to do about a value of the deciding column that points to none of the answers."""
    count = 2 if layout.listed else min(len(layout.answers), len(PLACES))
    places = ", ".join(dots(f"verdict.{p}", True, settings) for p in PLACES[:count])
    tie = dots("verdict.tie", True, settings)
    winner = settings.option(f"verdict.winner={name}")
    cure = (
        f"If it means one, name it in one of these lists: {winner} "
        f"with {places}{_first(layout)} or {tie}"
    )
    some = [f for f in families(frozenset(layout.answers)) if len(f.columns) < len(layout.answers)]
    if len(some) != 1 or layout.listed:
        return cure
    answers = settings.option(f"verdict.answers=[{','.join(map(shown, some[0].columns))}]")
    others = ", ".join(shown(n) for n in layout.answers if n not in some[0].columns)
    return f"If {others} is no answer: {answers}. {cure}"


def dots(name: str, simple: bool, settings: RowSettings) -> str:
    """An option with a list that the user fills in. simple: its texts need no quotes."""
    if simple:
        return settings.option(f"{name}=[...]")
    return f"'{settings.option(name)}=[\"...\"]'"


def counted(one: Candidate) -> str:
    """The values of a column."""
    values = [f"'{shown(value)}' ({rows} rows)" for value, rows in one.values.most_common(_SHOWN)]
    more = f" and {len(one.values) - _SHOWN} other values" if len(one.values) > _SHOWN else ""
    return f"{', '.join(values)}{more} at the file's start"


def _meanings(meant: Mapping[str, int], layout: Layout, settings: RowSettings) -> str:
    """The options that explain values."""
    found: dict[int, list[str]] = {}
    for value, at in meant.items():
        found.setdefault(at, []).append(value)
    places = {at: PLACES[at] if at >= 0 else "tie" for at in found}
    options = [listing(f"verdict.{places[at]}", some, settings) for at, some in found.items()]
    return " ".join(options) + _first(layout)


def _first(layout: Layout) -> str:
    return "" if layout.listed else f" (first: {shown(layout.answers[0])})"


def listing(name: str, values: Sequence[str], settings: RowSettings) -> str:
    """An option with a list of texts, as a shell takes it."""
    simple = all(map(_SIMPLE.fullmatch, values))
    if simple:
        return settings.option(f"{name}=[{','.join(values)}]")
    texts = ",".join('"' + value.replace('"', '\\"') + '"' for value in values)
    return f"'{settings.option(f'{name}=[{texts}]')}'"


def scale(name: str, seen: set[tuple[float, int]], layout: Layout, settings: RowSettings) -> str:
    """Numbers below zero or between the whole ones."""
    numbers = sorted(value for value, _ in seen)
    even = 0.5 if numbers[0] >= 0 and numbers[-1] <= 1 else 0
    said = (
        f"{shown(name)}: goes from {numbers[0]:g} to {numbers[-1]:g}, and is no number of an answer"
    )
    if layout.listed or len(layout.answers) != 2:
        return f"{said}. Name another column: {settings.option('verdict.winner=NAME')}"
    winner, first, second = settings.option(f"verdict.winner={shown(name)}"), *layout.answers
    highs = [settings.option(f"verdict.high={shown(answer)}") for answer in (second, first)]
    middle = settings.option(f"verdict.even={even:g}")
    return (
        f"{said}. If high numbers say that {shown(second)} is better: {winner} {highs[0]} {middle} "
        f"(the number of a tie). If they say that {shown(first)} is: {highs[1]} instead"
    )


def numbers(name: str, seen: set[tuple[float, int]], layout: Layout, settings: RowSettings) -> str:
    """Whole numbers that may count from 0 or from 1, or say something else."""
    values = [spelled(value) for value in sorted({value for value, _ in seen})]
    said = f"{shown(name)}: holds {', '.join(values[:_SHOWN])} in the whole file"
    winner = settings.option(f"verdict.winner={shown(name)}")
    if layout.listed or len(values) > len(layout.answers) + 1:
        starts = " or ".join(settings.option(f"verdict.start={start}") for start in (0, 1))
        return f"{said}, which does not show the number of the first answer: {winner} {starts}"
    if len(values) > len(layout.answers):
        places = (dots(f"verdict.{place}", True, settings) for place in ("first", "second", "tie"))
        return f"{said}. Say what they mean: {winner} {' '.join(places)}{_first(layout)}"
    orders = [list(range(len(values))), list(range(len(values)))[::-1]]
    if len(values) == 1:
        orders = [[0], [1]]
    cures = [_meanings(dict(zip(values, some, strict=True)), layout, settings) for some in orders]
    return (
        f"{said}, which may mean more than one thing. Say what they mean: {winner} {cures[0]}, or "
        f"{cures[1]}, and 'tie' for values that prefer none"
    )
