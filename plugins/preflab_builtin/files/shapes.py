"""The shapes of rows that are understood, and which of them a row has. This folder's README.md has
them as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain

from preflab.errors import nearest
from preflab.records import RecordType
from preflab.rows import BadRow, shown
from preflab_builtin.files import exports, published, ranked, single, trees
from preflab_builtin.files.asking import BEFORE, Case, Columns
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.values import blank

ABOUT = ("id", "user", "group", "split", "tags", "labeler", "labeler_group", "notes")
"""Columns that say something about a row, in every shape."""
USUAL = {
    "prompts": ("prompt",),
    "demonstrations": ("prompt", "completion"),
    "rankings": ("prompt", "chosen", "rejected"),
    "documents": ("text",),
}
"""By record type: the columns of its simplest shape."""
LIKED = ("label", "kto_tag")
"""Columns that say whether people liked a completion."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Columns that a row must have (and one of ``any_of``), the record types that it gives, and how
    it is read.

    also: columns that are read where there are some, next to `ABOUT` and `BEFORE`. leaves: columns
    of a published set that are not read on purpose, and counted. joins: consecutive rows that are
    equal in these columns are read together, as a list. named: only the config chooses it.
    thorough: its reader looks at all columns itself.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[RecordType, ...]
    read: Callable[..., Sequence[Case]]
    any_of: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    named: bool = False
    thorough: bool = False

    @property
    def label(self) -> str:
        """The columns, for messages."""
        choice = ("|".join(self.any_of),) if self.any_of else ()
        return " + ".join((*self.needs, *choice))

    def fits(self, columns: Set[str]) -> bool:
        """Are these columns enough?"""
        return all(name in columns for name in self.needs) and (
            not self.any_of or any(name in columns for name in self.any_of)
        )

    def reads(self, *named: str | None) -> frozenset[str]:
        """All columns that need no further look. named: those that the config names."""
        read = {*self.needs, *self.any_of, *self.also, *self.leaves, *ABOUT}
        read.update(filter(None, named))
        if "documents" not in self.gives:
            read.update(BEFORE)
        if "demonstrations" in self.gives:
            read.update(LIKED)
        return frozenset(read)


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
    return (shape.name, *(repr(row[column]) for column in shape.joins)) if shape.joins else None


@lru_cache(maxsize=4096)
def _may_join(names: tuple[str, ...], record_type: RecordType, format: str | None) -> bool:
    return any(shape.fits(set(names)) for shape in _joined(record_type, format))


def shape_of(row: Columns, reading: Reading) -> Shape:
    """The first shape of which the row has all columns, none of them null."""
    settings = reading.settings
    filled = tuple([column for column, value in row.items() if value is not None])
    shape = _fitting(filled, settings.record_type, settings.format)
    if shape is not None:
        return shape
    shapes = _shapes(settings.record_type, settings.format)
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


def _unknown(row: Columns, shapes: Sequence[Shape], settings: RowSettings) -> str:
    """Why no shape fits, and what to do."""
    known = set(chain.from_iterable((*s.needs, *s.any_of) for s in shapes))
    unknown = [shown(column) for column in row if column not in known]
    hints = (nearest(column, known).partition("Did you mean ")[2] for column in unknown)
    hint = next((f" Did you mean {h}" for h in hints if h), "")
    have = ", ".join(sorted(map(shown, row))) or "none"
    general = [shape for shape in shapes if shape in _GENERAL] or list(shapes)
    general.sort(key=lambda shape: len(shape.needs) + bool(shape.any_of))
    allowed = "; ".join(dict.fromkeys(shape.label for shape in general[:_SHOWN]))
    more = "; others in README.md of files" if len(shapes) > _SHOWN else ""
    record_type = settings.record_type
    cure = f" Or say what your columns are called: {_renamed(row, settings)}"
    others = [t for t in USUAL if _fitting(tuple(row), t, None) and t != record_type]
    if others and not settings.format:
        cure = f" They hold {' or '.join(others)}: give them there.{cure}"
    for columns, reason in _NOT_READ.get(record_type, {}).items():
        if row.keys() >= set(columns):
            cure = f" {reason}"
    what = f"no shape of {record_type} has these"
    if settings.format:
        what = f"a row of format '{settings.format}' has others"
    return f"{have}: {what}. Allowed: {allowed}{more}.{hint}{cure}"


_SHOWN = 6
"""Shapes that a message names."""
_QUESTIONS = ("question", "query", "instruction", "input", "request", "ask", "text")


def _renamed(row: Columns, settings: RowSettings) -> str:
    """The options that would give the row the columns of its type's simplest shape."""
    usual = USUAL[settings.record_type]
    spoken = [name for name, value in row.items() if isinstance(value, (str, list, tuple, dict))]
    theirs = [name for name in spoken if name not in (*ABOUT, *usual)]
    theirs.sort(key=lambda name: name.lower() not in _QUESTIONS)  # what asks, to the prompt
    missing = [name for name in usual if name not in row]
    pairs = zip(missing, [*map(shown, theirs), *("NAME",) * len(missing)], strict=False)
    return " ".join(settings.option(f"columns.{name}={column}") for name, column in pairs)


@cache
def _shapes(record_type: RecordType, name: str | None) -> tuple[Shape, ...]:
    return tuple(
        shape
        for shape in SHAPES
        if record_type in shape.gives and (shape.name == name if name else not shape.named)
    )


@cache
def _joined(record_type: RecordType, name: str | None) -> tuple[Shape, ...]:
    return tuple(shape for shape in _shapes(record_type, name) if shape.joins)


@lru_cache(maxsize=4096)
def _fitting(filled: tuple[str, ...], record_type: RecordType, name: str | None) -> Shape | None:
    columns = set(filled)
    return next((shape for shape in _shapes(record_type, name) if shape.fits(columns)), None)


@lru_cache(maxsize=4096)
def _reads(shape: Shape, *named: str | None) -> frozenset[str]:
    return shape.reads(*named)


_ASKS: tuple[RecordType, ...] = ("prompts",)
_SHOWS: tuple[RecordType, ...] = ("prompts", "demonstrations")
_RANKS: tuple[RecordType, ...] = ("prompts", "rankings")
_READS: tuple[RecordType, ...] = ("documents",)
_ALL: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings")
_HELPSTEER2 = ("three_most_similar_preferences", "all_preferences_unprocessed")
_SAFETY = tuple(
    name.format(i)
    for i in (0, 1)
    for name in (
        "is_response_{}_safe",
        "response_{}_source",
        "response_{}_severity_level",
        "response_{}_harm_category",
    )
)
_PUBLISHED: tuple[Shape, ...] = (
    Shape(
        "preflab",
        ("prompt", "responses", "preferences"),
        _RANKS,
        ranked.own,
        also=("unjudged",),
    ),
    Shape(
        "oasst",
        ("message_tree_id", "prompt"),
        _ALL,
        trees.nested,
        also=("tree_state",),
    ),
    Shape(
        "oasst-flat",
        ("message_tree_id", "message_id", "role", "text"),
        _ALL,
        trees.flat,
        also=trees.FACTS,
        joins=("message_tree_id",),
    ),
    Shape("argilla", ("_server_id",), _ALL, exports.argilla, thorough=True),
    Shape("argilla", (), _ALL, exports.argilla, named=True, thorough=True),
    Shape(
        "label-studio",
        ("data", "annotations"),
        _ALL,
        exports.label_studio,
        thorough=True,
    ),
    Shape(
        "openai-preference",
        ("input", "preferred_output", "non_preferred_output"),
        _RANKS,
        ranked.openai,
    ),
    Shape("arena", ("conversation_a", "conversation_b", "winner"), _RANKS, ranked.arena),
    Shape("shp", ("history", "human_ref_A", "human_ref_B", "labels"), _RANKS, published.shp),
    Shape(
        "webgpt",
        ("question", "answer_0", "answer_1", "score_0", "score_1"),
        _RANKS,
        published.webgpt,
        leaves=("quotes_0", "quotes_1", "tokens_0", "tokens_1"),
    ),
    Shape(
        "helpsteer2",
        ("prompt", "response_1", "response_2", "preference_strength"),
        _RANKS,
        published.strength,
        leaves=("preference_statement", "preference_elaboration", *_HELPSTEER2),
    ),
    Shape(
        "helpsteer3",
        ("context", "response1", "response2", "overall_preference"),
        _RANKS,
        published.strength,
        leaves=("individual_preference",),
    ),
    Shape(
        "helpsteer",
        ("prompt", "response", "helpfulness"),
        _RANKS,
        published.helpsteer,
        leaves=("correctness", "coherence", "complexity", "verbosity"),
        joins=("prompt",),
    ),
    Shape(
        "safe-rlhf",
        ("prompt", "response_0", "response_1", "better_response_id"),
        _RANKS,
        published.safe_rlhf,
        leaves=("safer_response_id", *_SAFETY),
    ),
    Shape(
        "safe-rlhf-safer",
        ("prompt", "response_0", "response_1", "safer_response_id"),
        _RANKS,
        published.safe_rlhf_safer,
        leaves=("better_response_id", *_SAFETY),
        named=True,
    ),
    Shape("nectar", ("prompt", "answers"), _RANKS, published.nectar, leaves=("turns",)),
    Shape(
        "ultrafeedback",
        ("instruction", "completions"),
        _RANKS,
        published.ultrafeedback,
        leaves=("correct_answers", "incorrect_answers"),
    ),
    Shape(
        "summarize-from-feedback",
        ("info", "summaries", "choice"),
        _RANKS,
        published.summaries,
        also=("worker",),
    ),
    Shape("tldr", ("subreddit", "title", "post", "summary"), _SHOWS, published.post),
)
_GENERAL: tuple[Shape, ...] = (
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
SHAPES = _PUBLISHED + _GENERAL
"""All shapes, the more specific first."""
FORMATS = tuple(dict.fromkeys(shape.name for shape in SHAPES))
"""The values of ``format``."""
