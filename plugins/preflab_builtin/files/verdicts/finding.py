"""Where the rows of a file hold several answers, and which of their columns says the better one: by
the config, else by the names and the values at the file's start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from preflab.errors import nearest
from preflab.rows import shown
from preflab_builtin.files.config import PLACES, RowSettings
from preflab_builtin.files.meanings import is_messages
from preflab_builtin.files.names import ABOUT, ASKS, BEFORE, CONVERSATIONS, names_worse
from preflab_builtin.files.values import blank, listed
from preflab_builtin.files.verdicts import deciding, doubts, sides
from preflab_builtin.files.verdicts.candidates import (
    Rows,
    candidates,
    companions,
    judges,
    names_tie,
    per_answer,
)
from preflab_builtin.files.verdicts.layouts import How, Layout, Refused
from preflab_builtin.files.verdicts.pointing import Pointer, spelled
from preflab_builtin.files.verdicts.sides import Family


def layout(rows: Rows, settings: RowSettings, numbers: deciding.Numbers) -> Layout | None:
    """The layout of a file by the rows at its start; None if they do not hold several answers.
    `Refused` if they do, and nothing says for certain which is the better one."""
    every = {name for row in rows for name in row}
    for option, name in settings.verdict.columns:
        if name not in every:
            what = f"{settings.option(f'verdict.{option}')}: no row has a column '{name}'"
            raise Refused(f"{what}. {nearest(name, every)}")
    found = _answers(rows, _names(rows), settings)
    if found is None and settings.verdict.columns:
        cure = settings.option("verdict.answers=[NAME,NAME]")
        raise Refused(f"columns: it is not clear which of them hold the answers. Say which: {cure}")
    if found is None:
        return None
    base, family = found
    named = (settings.user, settings.group, settings.split)
    base = replace(base, about=(*ABOUT, *BEFORE, *filter(None, named)))
    if base.asks is None and not all(is_messages(v) for row in rows for v in base.texts(row) if v):
        if base.listed:
            return None
        raise Refused(doubts.no_question(_names(rows), base, settings))
    if settings.record_type != "rankings":
        return base
    made = _judged(rows, base, family, settings)
    if made is None or made.how is not How.WINNER:
        return made
    return deciding.numbered(made, settings, numbers)


def _judged(
    rows: Rows, base: Layout, family: Family | None, settings: RowSettings
) -> Layout | None:
    """The same with what decides between the answers, and what else judges them."""
    base = replace(base, pointer=_pointer(base, family, settings))
    base = replace(base, companions=companions(rows, base, family))
    judging = judges(rows, base, family)
    if base.listed and not judging and not settings.verdict.columns:
        return None  # completions that nothing ranks are another shape with a column too few
    _check_winner(rows, base, settings)
    made = _given(base, settings) or deciding.decided(rows, base, family, settings)
    made = replace(made, tie=made.tie or _tie(rows, made, settings))
    if made.how in (How.WINNER, How.WINS):
        each = [(some.how, some.columns) for some in per_answer(rows, base, family) if some.how]
        others = [(h, c) for h, c in each if len(c) in (1, len(base.answers)) and c != made.columns]
        made = replace(made, numbers=tuple(others))
    beside = tuple(name for name in judging if name not in (*made.columns, made.tie))
    return replace(made, beside=beside, first=bool(settings.verdict.columns))


def pair_points(rows: Rows) -> bool:
    """Whether 'chosen' is no answer but points to one of others: "a" next to answer_a."""
    found = sides.answer_families(rows, _names(rows))
    if len(found) != 1 or not any(not blank(row.get("chosen")) for row in rows):
        return False
    base = Layout(None, found[0].columns)
    base = replace(base, companions=companions(rows, base, found[0]))
    pointer = Pointer(base.answers, True)
    said = candidates(rows, replace(base, pointer=pointer), ())
    return any(one.name == "chosen" and one.sure for one in said)


def lists_of_turns(rows: Rows) -> bool:
    """Whether question and answers are lists of texts, one a turn, as the arena writes them."""
    names = _names(rows)
    found = sides.answer_families(rows, names)
    if len(found) != 1:
        return False
    columns = _with_question(names, found[0].columns, False).needs()
    said = [[listed(row.get(name)) for name in columns] for row in rows]
    alike = sum(all(map(_are_texts, values)) for values in said)
    return len(columns) > len(found[0].columns) and alike > len(rows) / 2


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _names(rows: Rows) -> frozenset[str]:
    """Columns with something in them in most rows."""
    filled = Counter(name for row in rows for name, value in row.items() if not blank(value))
    return frozenset(name for name, count in filled.items() if count > len(rows) / 2)


def _tie(rows: Rows, made: Layout, settings: RowSettings) -> str | None:
    """The column that marks ties next to what decides. `Refused` if there are several."""
    names = dict.fromkeys(n for row in rows for n in row if names_tie(n) and not blank(row[n]))
    found = [name for name in names if name not in (*made.columns, *made.needs(), *made.rivals)]
    if len(found) > 1:
        options = " or ".join(settings.option(f"ignore=[{shown(name)}]") for name in found)
        has = " and ".join(f"'{shown(name)}'" for name in found)
        raise Refused(f"columns: {has} may all mark ties. Leave all but one out: {options}")
    return next(iter(found), None)


# --- the answers ---


def _answers(
    rows: Rows, names: frozenset[str], settings: RowSettings
) -> tuple[Layout, Family | None] | None:
    """The question and the answers; of columns that are a family, this family."""
    given = settings.verdict.answers
    families = sides.families(names)
    if given:
        family = next((f for f in families if set(f.columns) == set(given)), None)
        in_order = family is not None and family.columns == given
        return _with_question(names, given, len(given) == 1), family if in_order else None
    found = sides.answer_families(rows, names)
    lists = sides.answer_lists(rows, names) if not found else []
    choices = [f.columns for f in found] + [(name,) for name in lists]
    if len(choices) > 1:
        options = " or ".join(settings.option(f"verdict.answers=[{','.join(c)}]") for c in choices)
        raise Refused(f"columns: several of them may hold the answers. Say which: {options}")
    if not choices:
        return None
    return _with_question(names, choices[0], bool(lists)), found[0] if found else None


def _with_question(names: frozenset[str], answers: tuple[str, ...], listed: bool) -> Layout:
    asking = (*ASKS, *CONVERSATIONS)
    asks = next((name for name in asking if name in names and name not in answers), None)
    return Layout(asks, answers, listed)


def _pointer(base: Layout, family: Family | None, settings: RowSettings) -> Pointer:
    """What values may be called."""
    names = () if base.listed else base.answers
    places = {**{place: i for i, place in enumerate(PLACES)}, "tie": -1}
    meanings = {spelled(value): places[means] for value, means in settings.verdict.values}
    return Pointer(names, base.listed or family is not None, meanings)


# --- what decides, by the config ---


def _check_winner(rows: Rows, base: Layout, settings: RowSettings) -> None:
    """`Refused` if the config takes a column for that of the better answer whose name says that it
    is of the worse one, and does not say what its values mean."""
    told = settings.verdict
    if not told.winner or told.values or told.start is not None or told.high is not None:
        return
    found = candidates(rows, base, ()) if names_worse(told.winner) else ()
    for one in (one for one in found if one.name == told.winner):
        raise Refused(doubts.unclear(one, base, settings))


def _given(base: Layout, settings: RowSettings) -> Layout | None:
    told = settings.verdict
    for how, columns in (
        (How.SCORES, told.scores),
        (How.RANKS, told.ranks),
        (How.WINS, told.wins),
    ):
        if columns:
            _check_count(columns, how, base, settings)
            count = len(base.answers) if how is How.WINS else len(columns)
            tie = next(iter(columns[count:]), None)
            return replace(base, how=how, columns=columns[:count], tie=tie)
    if told.winner is None:
        return None
    if told.high is None:
        return replace(base, how=How.WINNER, columns=(told.winner,), start=told.start)
    pair = PLACES[:2] if base.listed else base.answers
    key = settings.option("verdict.high")
    if len(pair) != 2:
        raise Refused(f"{key}: is for two answers, but there are {len(pair)}")
    if told.high not in (*pair, *PLACES[:2]):
        raise Refused(f"{key}: '{shown(told.high)}' is no answer. {nearest(told.high, pair)}")
    high = (pair if told.high in pair else PLACES).index(told.high)
    leans = (high, told.even or 0.0)
    return replace(base, how=How.SCALE, columns=(told.winner,), leans=leans)


def _check_count(columns: Sequence[str], how: How, base: Layout, settings: RowSettings) -> None:
    """A column for each answer, or one with a list; of marks, one more for a tie."""
    count = len(base.answers)
    allowed = (count, count + 1) if how is How.WINS else (1, count)
    if len(columns) in allowed or (base.listed and len(columns) == 1 and how is not How.WINS):
        return
    key = settings.option(f"verdict.{how.name.lower()}")
    raise Refused(f"{key}: {len(columns)} columns for {count} answers")
