"""Which shape a row has, and what is said of a row that has none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from preflab.errors import meant
from preflab.records import RecordType
from preflab.rows import BadRow, shown
from preflab_builtin.files.asking import Case, Columns
from preflab_builtin.files.catalogue import (
    COMPARED,
    GENERAL,
    SHAPES,
    Shape,
    alone,
    fitting,
    joined,
    shapes_of,
)
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import (
    ABOUT,
    ASKS,
    FACTS,
    PEOPLE,
    names_better,
    names_worse,
    parts_of,
)
from preflab_builtin.files.ranked import SCORES
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts import doubts, sides
from preflab_builtin.files.verdicts.candidates import (
    is_answer,
    names_verdict,
)

USUAL = {
    "prompts": ("prompt",),
    "demonstrations": ("prompt", "completion"),
    "rankings": ("prompt", "chosen", "rejected"),
    "documents": ("text",),
}
"""By record type: the columns of its simplest shape."""


def cases(rows: Sequence[Columns], reading: Reading) -> Sequence[Case]:
    """What rows that belong together say as records of a type; `BadRow` if their columns fit no
    shape, their values do not fit their shape, or something that would change what they say is not
    read."""
    settings = reading.settings
    reading.of_row.clear()
    shape = shape_of(rows[0], reading)
    for row in rows if not shape.thorough else ():
        reading.rest(row, _reads(shape, settings.user, settings.group, settings.split))
        for name in shape.leaves:
            if not blank(row.get(name)):
                reading.of_row.add(name)
    found = shape.read(rows if shape.joins else rows[0], reading)
    reading.shapes[shape.name] += len(rows)
    for name in reading.of_row:
        reading.unread[name] += len(rows)
    return found


def key(row: Columns, reading: Reading) -> tuple[str, ...] | None:
    """Consecutive rows of one key are read together; None: the row stands alone."""
    settings = reading.settings
    if not settings.renamed and not _may_join(tuple(row), settings.record_type, settings.format):
        return None  # so that nearly all rows cost nothing here
    try:
        row = reading.view(row)
        shape = shape_of(row, reading)
    except BadRow:
        return None
    return (shape.name, *shape.together(row, settings.split)) if shape.joins else None


@lru_cache(maxsize=4096)
def _may_join(names: tuple[str, ...], record_type: RecordType, format: str | None) -> bool:
    return any(shape.fits(set(names)) for shape in joined(record_type, format))


def shape_of(row: Columns, reading: Reading) -> Shape:
    """The first shape of which the row has all columns, none of them null."""
    settings = reading.settings
    filled = tuple([column for column, value in row.items() if value is not None])
    shape = fitting(filled, settings.record_type, settings.format)
    if reading.layout is not None and (shape is None or reading.layout.first):
        return COMPARED
    if shape is not None:
        return shape
    one = alone(row) if reading.likes else None
    if one is not None:
        return one
    shapes = shapes_of(settings.record_type, settings.format)
    if not shapes:
        gives = ", ".join(
            dict.fromkeys(t for s in SHAPES if s.name == settings.format for t in s.gives)
        )
        reason = f"'{settings.format}' gives {gives}, but no {settings.record_type}"
        raise BadRow("format", reason)
    for shape in shapes:
        if shape.fits(row.keys()):
            missing = next(c for c in (*shape.needs, *shape.any_of) if c in row and row[c] is None)
            raise BadRow(missing, "is null")
    raise BadRow("columns", _unknown(row, shapes, settings))


_NOT_READ: dict[RecordType, dict[tuple[str, ...], str]] = {
    "rankings": {
        ("prompt", "completion", "label"): (
            "Labels of single answers (KTO) compare no two answers: give them as demonstrations, "
            "which leaves out what people disliked."
        ),
        ("completions", "labels"): (
            "Stepwise supervision judges the steps of one answer, which is no ranking."
        ),
    }
}
"""By record type: columns that look like a shape, and why they are none."""


def fits(row: Columns, settings: RowSettings) -> bool:
    """Whether a row has a shape whatever the other rows of the file are."""
    filled = tuple(column for column, value in row.items() if not blank(value))
    return fitting(filled, settings.record_type, settings.format) is not None


def _unknown(row: Columns, shapes: Sequence[Shape], settings: RowSettings) -> str:
    """Why no shape fits, and what to do."""
    known = set(chain.from_iterable((*s.needs, *s.any_of) for s in shapes))
    unknown = [shown(column) for column in row if column not in known]
    hints = (meant(column, known) for column in unknown)
    hint = next((f" {question}" for question in hints if question), "")
    have = ", ".join(sorted(map(shown, row))) or "none"
    general = [shape for shape in shapes if shape in GENERAL] or list(shapes)
    general.sort(key=lambda shape: len(shape.needs) + bool(shape.any_of))
    allowed = "; ".join(dict.fromkeys(shape.label for shape in general[:_SHOWN]))
    more = "; others in README.md of files" if len(shapes) > _SHOWN else ""
    record_type = settings.record_type
    cure = f" Or say what your columns are called: {_renamed(row, settings)}"
    others = [t for t in USUAL if fitting(tuple(row), t, None) and t != record_type]
    if others and not settings.format:
        there = f" They hold {' or '.join(others)}: give them there."
        cure = there if "NAME" in cure else f"{there}{cure}"
    if record_type == "demonstrations" and sides.answer_families([row], frozenset(row)):
        cure = " They hold several answers to a question: give them as rankings."
    for columns, reason in _NOT_READ.get(record_type, {}).items():
        if row.keys() >= set(columns):
            cure = f" {reason}"
    what = f"no shape of {record_type} has these"
    if settings.format:
        what = f"a row of format '{settings.format}' has others"
    return f"{have}: {what}. Allowed: {allowed}{more}.{hint}{cure}"


_SHOWN = 6
"""Shapes that a message names."""
NO_ANSWERS = (FACTS - {"model", "models"}) | PEOPLE
"""Words of columns that hold no answer."""
_QUESTIONS = (*ASKS, "request", "ask")


def _renamed(row: Columns, settings: RowSettings) -> str:
    """The options that would give the row the columns of its type's simplest shape; of a row with a
    column that judges answers, those that read it."""
    usual = USUAL[settings.record_type]
    spoken = [name for name, value in row.items() if isinstance(value, (str, list, tuple, dict))]
    theirs = [name for name in spoken if name not in (*ABOUT, *usual)]
    theirs.sort(key=lambda name: name.lower() not in _QUESTIONS)  # what asks, to the prompt
    if settings.record_type == "rankings" and len(theirs) == 2 and set(SCORES) & row.keys():
        asks, said = map(shown, theirs)  # single answers with a score
        given = (f"columns.prompt={asks}", f"columns.completion={said}")
        return " ".join(map(settings.option, given))
    if settings.record_type == "rankings":
        return _of_rankings(row, theirs, settings)
    missing = [name for name in usual if name not in row]
    pairs = zip(missing, [*map(shown, theirs), *("NAME",) * len(missing)], strict=False)
    return " ".join(settings.option(f"columns.{name}={column}") for name, column in pairs)


def _of_rankings(row: Columns, theirs: Sequence[str], settings: RowSettings) -> str:
    """The same for rankings, where a guess of the better answer would be a wrong label: only names
    say which it is."""
    option = settings.option
    judging = [name for name in row if names_verdict(name) and not is_answer(name)]
    others, options = [name for name in theirs if name not in judging], []
    if "prompt" not in row:
        asks = others.pop(0) if others else "NAME"
        options.append(option(f"columns.prompt={shown(asks)}"))
    if judging:
        others = list(_may_answer(row, others))
        answers = [*map(shown, others), "NAME", "NAME"][: max(2, len(others))]
        options.append(option(f"verdict.answers=[{','.join(answers)}]"))
        return " ".join((*options, doubts.winner(min(judging, key=names_worse), settings)))
    for usual, says in (("chosen", names_better), ("rejected", names_worse)):
        if usual not in row:
            name = next((shown(name) for name in others if says(name)), "NAME")
            options.append(option(f"columns.{usual}={name}"))
    return " ".join(options)


def _may_answer(row: Columns, names: Sequence[str]) -> Sequence[str]:
    """Those of a row's texts that may be its answers: the only ones that are numbered together
    (model_1, model_2), or else all but the names of people, facts and single words."""
    families = [f for f in sides.families(frozenset(names)) if not f.about & NO_ANSWERS]
    if len(families) == 1:
        return families[0].columns
    texts = [name for name in names if NO_ANSWERS.isdisjoint(parts_of(name))]
    long = [name for name in texts if not isinstance(row[name], str) or " " in row[name].strip()]
    return long if len(long) > 1 else texts


@lru_cache(maxsize=4096)
def _reads(shape: Shape, *named: str | None) -> frozenset[str]:
    return shape.reads(*named)
