"""The shapes of rows that are understood, and which of them a row has. This folder's README.md has
them as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from preflab.errors import nearest
from preflab.records import RecordType
from preflab.rows import BadRow, shown
from preflab_builtin.files import ranked, single
from preflab_builtin.files.asking import BEFORE, Case, Columns
from preflab_builtin.files.columns import Reading

ABOUT = ("id", "user", "group", "split", "tags", "labeler", "labeler_group", "notes")
"""Columns that say something about a row, in every shape."""
_LIKED = ("label", "kto_tag")
"""Columns that say whether people liked a completion."""


@dataclass(frozen=True)
class Shape:
    """Columns that a row must have (and one of ``any_of``), the record types that it gives, and how
    it is read. also: columns that are read where there are some, next to `ABOUT` and `BEFORE`."""

    name: str
    needs: tuple[str, ...]
    gives: tuple[RecordType, ...]
    read: Callable[[Columns, Reading], Sequence[Case]]
    any_of: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The columns, for messages."""
        choice = ("|".join(self.any_of),) if self.any_of else ()
        return " + ".join((*self.needs, *choice))

    def fits(self, columns: set[str]) -> bool:
        """Are these columns enough?"""
        return columns.issuperset(self.needs) and (
            not self.any_of or bool(columns.intersection(self.any_of))
        )


def cases(row: Columns, reading: Reading) -> Sequence[Case]:
    """What a row says as records of a type; `BadRow` if its columns fit no shape, its values do not
    fit their shape, or something that would change what it says is not read."""
    shape = shape_of(row, reading)
    read = {*shape.needs, *shape.any_of, *shape.also, *ABOUT}
    if "documents" not in shape.gives:
        read.update(BEFORE)
    if "demonstrations" in shape.gives:
        read.update(_LIKED)
    settings = reading.settings
    read.update(name for name in (settings.user, settings.group, settings.split) if name)
    reading.of_row.clear()
    reading.rest(row, read)
    found = shape.read(row, reading)
    reading.unread.update(reading.of_row)
    return found


def shape_of(row: Columns, reading: Reading) -> Shape:
    """The first shape of which the row has all columns, none of them null."""
    record_type = reading.settings.record_type
    shapes = [shape for shape in SHAPES if record_type in shape.gives]
    filled = {column for column, value in row.items() if value is not None}
    for shape in shapes:
        if shape.fits(filled):
            return shape
    for shape in shapes:
        if shape.fits(set(row)):
            missing = next(c for c in (*shape.needs, *shape.any_of) if c in row and row[c] is None)
            raise BadRow(missing, "is null")
    known = set(chain.from_iterable((*s.needs, *s.any_of) for s in shapes))
    unknown = (shown(column) for column in row if column not in known)
    hints = (nearest(column, known).partition("Did you mean ")[2] for column in unknown)
    hint = next((f" Did you mean {h}" for h in hints if h), "")
    have = ", ".join(sorted(map(shown, row))) or "none"
    allowed = "; ".join(shape.label for shape in shapes)
    reason = f"{have}: no shape of {record_type} has these. Allowed: {allowed}.{hint}"
    raise BadRow("columns", reason)


_ASKS: tuple[RecordType, ...] = ("prompts",)
_SHOWS: tuple[RecordType, ...] = ("prompts", "demonstrations")
_RANKS: tuple[RecordType, ...] = ("prompts", "rankings")
_READS: tuple[RecordType, ...] = ("documents",)
SHAPES: tuple[Shape, ...] = (
    Shape("preflab", ("prompt", "responses", "preferences"), _RANKS, ranked.own),
    Shape("llmbar", ("input", "output_1", "output_2", "label"), _RANKS, ranked.llmbar),
    Shape("k-wise", ("prompt", "completions"), _RANKS, ranked.kwise, ranked.ORDERS),
    Shape(
        "preference", ("prompt", "chosen", "rejected"), _RANKS, ranked.explicit, also=("messages",)
    ),
    Shape(
        "sharegpt-preference",
        ("chosen", "rejected"),
        _RANKS,
        ranked.continued,
        any_of=single.CONVERSATIONS,
    ),
    Shape(
        "alpaca-preference",
        ("instruction", "chosen", "rejected"),
        _RANKS,
        ranked.instructed,
        also=("input",),
    ),
    Shape("implicit", ("chosen", "rejected"), _RANKS, ranked.implicit),
    Shape("completion", ("prompt", "completion"), _SHOWS, single.completion),
    Shape(
        "messages",
        (),
        _SHOWS,
        single.messages,
        any_of=single.CONVERSATIONS,
        also=("prompt", "chosen", "rejected"),
    ),
    Shape("self-instruct", ("instruction", "instances"), _SHOWS, single.self_instruct),
    Shape("alpaca", ("instruction", "output"), _SHOWS, single.alpaca, also=("input",)),
    Shape("dolly", ("instruction", "response"), _SHOWS, single.alpaca, also=("context",)),
    Shape("roles", ("user", "assistant"), _SHOWS, single.two_roles),
    Shape("prompt", ("prompt",), _ASKS, single.bare_prompt),
    Shape("instruction", ("instruction",), _ASKS, single.alpaca, also=("input",)),
    Shape("text", ("text",), _READS, single.text, also=("family", "answer_start")),
    Shape("transcript", (), _READS, single.transcript, any_of=single.CONVERSATIONS),
)
"""All shapes, the more specific first."""
