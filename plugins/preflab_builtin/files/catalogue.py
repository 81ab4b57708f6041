"""The shapes of rows that are understood. This folder's README.md has them as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cache, lru_cache

from preflab.records import RecordType
from preflab_builtin.files import exports, published, ranked, single, trees
from preflab_builtin.files.asking import Case, Columns
from preflab_builtin.files.names import (
    ABOUT,
    ABOUT_DOCUMENTS,
    BEFORE,
    CONVERSATIONS,
    LIKED,
    SAID_BY,
)
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts.reading import compared


@dataclass(frozen=True, eq=False)
class Shape:
    """Columns that a row must have (and one of ``any_of``), the record types that it gives, and how
    it is read.

    also: columns that are read where there are some, next to `ABOUT` and `BEFORE`. leaves: columns
    of a published set that are not read on purpose, and counted. joins: consecutive rows that are
    equal in these columns, of one person and one split, are read together, as a list. named: only
    the config chooses it. thorough: its reader looks at all columns itself.
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

    def together(self, row: Columns, split: str | None) -> tuple[str, ...]:
        """What rows have in common that are read together: the columns of ``joins``, who judged,
        and the split. split: the column with it; None: the usual one."""
        names = (*self.joins, *SAID_BY, split or "split")
        return tuple("" if blank(row.get(name)) else repr(row[name]) for name in names)

    def reads(self, *named: str | None) -> frozenset[str]:
        """All columns that need no further look. named: those that the config names."""
        about = ABOUT_DOCUMENTS if self.gives == _READS else (*ABOUT, *BEFORE)
        read = {*self.needs, *self.any_of, *self.also, *self.leaves, *about}
        read.update(filter(None, named))
        if "demonstrations" in self.gives:
            read.update(LIKED)
        return frozenset(read)


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
        also=("unjudged", "ratings"),
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
KTO = Shape(
    "kto",
    ("prompt", "completion"),
    ("rankings",),
    ranked.liked,
    any_of=LIKED,
    joins=("prompt", *BEFORE),
    named=True,
)
"""Single answers that people liked or not, those to one question together."""
SCORED = tuple(
    Shape(
        "scored",
        ("prompt", answer),
        ("rankings",),
        ranked.scored,
        any_of=ranked.SCORES,
        joins=("prompt", *BEFORE),
        named=True,
    )
    for answer in ranked.SINGLE
)
"""Single answers with a score or a rank, those to one question together."""
ONE_ANSWER = (KTO, *SCORED)
"""Shapes of which rows are rankings only together, wherever they stand in the file."""
COMPARED = Shape("compared", (), _RANKS, compared, named=True, thorough=True)
"""Several answers and a verdict, where the file's `Layout` says."""
GENERAL: tuple[Shape, ...] = (
    COMPARED,
    *ONE_ANSWER,
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
        any_of=CONVERSATIONS,
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
        any_of=CONVERSATIONS,
        also=("prompt", "chosen", "rejected"),
    ),
    Shape("self-instruct", ("instruction", "instances"), _SHOWS, single.self_instruct),
    Shape("alpaca", ("instruction", "output"), _SHOWS, single.alpaca, also=("input",)),
    Shape("dolly", ("instruction", "response"), _SHOWS, single.alpaca, also=("context",)),
    Shape("roles", ("user", "assistant"), _SHOWS, single.two_roles),
    Shape("prompt", ("prompt",), _ASKS, single.bare_prompt),
    Shape("instruction", ("instruction",), _ASKS, single.alpaca, also=("input",)),
    Shape("text", ("text",), _READS, single.text, also=("family", "answer_start")),
    Shape("transcript", (), _READS, single.transcript, any_of=CONVERSATIONS),
)
SHAPES = _PUBLISHED + GENERAL
"""All shapes, the more specific first."""
FORMATS = tuple(dict.fromkeys(shape.name for shape in SHAPES))
"""The values of ``format``."""


def alone(row: Columns) -> Shape | None:
    """The shape of a row with a single answer that is judged by itself; its label or its score may
    be null, which its reader refuses."""
    told = {name for name, value in row.items() if value is not None}
    return next((s for s in ONE_ANSWER if s.fits(told | (set(s.any_of) & row.keys()))), None)


@cache
def shapes_of(record_type: RecordType, name: str | None) -> tuple[Shape, ...]:
    """The shapes that give a record type; of one name, if it is given."""
    return tuple(
        shape
        for shape in SHAPES
        if record_type in shape.gives and (shape.name == name if name else not shape.named)
    )


@cache
def joined(record_type: RecordType, name: str | None) -> tuple[Shape, ...]:
    """Those of which consecutive rows are read together."""
    return tuple(shape for shape in shapes_of(record_type, name) if shape.joins)


@lru_cache(maxsize=4096)
def fitting(filled: tuple[str, ...], record_type: RecordType, name: str | None) -> Shape | None:
    """The first of them that these columns are enough for."""
    columns = set(filled)
    return next((shape for shape in shapes_of(record_type, name) if shape.fits(columns)), None)
