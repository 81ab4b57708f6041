"""Columns that may say which answer of a row is the better one, found by their names and by the
values at a file's start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from preflab.rows import BadRow
from preflab_builtin.files.names import (
    ABOUT,
    BEFORE,
    BETTER,
    WORSE,
    names_worse,
    parts_of,
    words_of,
    words_say_worse,
)
from preflab_builtin.files.values import blank, listed, truth
from preflab_builtin.files.verdicts import sides
from preflab_builtin.files.verdicts.layouts import How, Layout
from preflab_builtin.files.verdicts.pointing import NOTHING, number, spelled
from preflab_builtin.files.verdicts.sides import Family
from preflab_builtin.files.verdicts.spread import is_named, spread

Rows = Sequence[Mapping[str, Any]]

_WHOLE = {"label", "labels", "result", "outcome", "answer", "gold", "target", "correct", "vote"}
_WHOLE |= {"annotation", "answer_idx", "answer_index", "correct_answer", "gold_label"}
"""Names of such a column, where its values fit."""
_EXPLAINS = {"statement", "reason", "reasons", "elaboration", "explanation", "rationale"}
_EXPLAINS |= {"justification"}
_REMARKS = (
    _EXPLAINS
    | {"comment"}
    | {"confidence", "time", "source", "critique", "feedback", "agreement", "margin", "model"}
)
"""Words that make it a remark about the verdict."""
_BESIDE = {"human", "humans", "people", "person", "user", "annotator", "annotators", "labeler"}
_BESIDE |= {"labeller", "rater", "judge", "expert", "crowd", "majority", "consensus", "gold"}
_BESIDE |= {"final", "overall", "total", "label", "labels", "pairwise", "most", "more"}
_BESIDE |= {"the", "is", "was", "which", "who", "of", "by", "index", "idx", "id", "number"}
_BESIDE |= {"name", "letter", "key", "column", "side", "value"} | sides.ANSWERS
"""Words that a verdict's name may have beside those of the better answer. With any other it may be
of something else: previous_winner, random_choice."""
TIES = {"tie", "ties", "tied", "draw", "equal"}
"""Words of a column that says whether it is a tie."""
INDEX = {"winner", "winning", "best", "choice", "chosen", "selected", "selection", "picked"}
INDEX |= {"pick", "index", "idx", "id", "preferred", "favorite", "favourite"}
"""Words of a column whose number is that of an answer."""
RANKS = {"rank", "ranks", "ranking", "rankings"}
"""Words of a number of which 1 is the best, and of names from best to worst."""
_ORDERS = {"order", "ordering", "ordered", "ranked", "sorted"}
_VOTES = {"votes", "vote", "voted", "choices", "preferences", "judgements", "judgments", "labels"}
_VOTES |= {"winners", "verdicts", "annotations", "opinions"}
"""Words of names that people gave one by one."""
_SCORES = {"score", "scores", "rating", "ratings", "reward", "rewards", "votes", "vote", "grade"}
_SCORES |= {"stars", "points", "upvotes", "likes"}
_PLAIN = sides.ANSWERS | {"overall", "total", "mean", "avg", "average", "final", "model", "human"}
_PLAIN |= {"annotator", "of", "n", "count", "by", "is", "was", "the"}
_WINS = {"winner", "win", "won", "wins", "preferred", "best", "better", "chosen", "selected"}
_MEASURES = {"id", "ids", "index", "idx", "len", "length", "lengths", "tokens", "token", "words"}
_MEASURES |= {"num", "turns", "time", "seed", "cost", "latency", "chars", "characters"}
"""Words of numbers that do not judge an answer."""
FEW = 10
"""Values of a column that names answers."""


@dataclass(frozen=True)
class Candidate:
    """A column that may say which answer is better. values: at the file's start, as `spelled`, each
    with its rows. points: the answers that they mean, row by row; meant: the same by value.
    of_both: rows in which the value names several answers (`Layout.of_both`)."""

    name: str
    values: Counter[str]
    points: tuple[int, ...]
    meant: Mapping[str, int]
    numeric: bool
    of_both: int = 0

    @property
    def sure(self) -> bool:
        """All its values point to an answer or say that it is a tie."""
        points = any(point >= 0 for point in self.points) or names_verdict(self.name)
        return NOTHING not in self.points and points

    @property
    def plain(self) -> bool:
        """Its name can only be that of the verdict."""
        beside = set(words_of(self.name)) - BETTER
        return beside <= _BESIDE or not names_verdict(self.name)

    @property
    def worse(self) -> bool:
        """It names the worse answer."""
        return names_worse(self.name)

    @property
    def named(self) -> bool:
        """Its name says that it is a verdict."""
        if names_verdict(self.name):
            return True
        return may_judge(self.name) and (self.sure or self.numeric)


def names_verdict(name: str) -> bool:
    """Whether a name alone says that a column judges the answers.

    >>> names_verdict("Winner"), names_verdict("winner_reason"), names_verdict("source")
    (True, False, False)
    """
    words = set(words_of(name))
    return bool(words & (BETTER | WORSE)) and not words & (_REMARKS | TIES)


@lru_cache(maxsize=4096)
def names_tie(name: str) -> bool:
    """Whether a name says that a column marks ties: is_tie, winner_tie, no_preference."""
    words = set(parts_of(name))
    ties = bool(words & TIES) or {"no", "preference"} <= words
    return ties and words <= TIES | BETTER | _BESIDE | {"model", "no"}


def is_answer(name: str) -> bool:
    """Whether a name says that a column holds an answer: better_answer."""
    return not sides.ANSWERS.isdisjoint(parts_of(name))


def may_judge(name: str) -> bool:
    """The same, or a name such as "label", which says it of columns that have such values."""
    return names_verdict(name) or "_".join(words_of(name)) in _WHOLE


def candidates(rows: Rows, base: Layout, but: Iterable[str]) -> list[Candidate]:
    """Columns of few values that may be verdicts: by their names, or because all their values point
    to answers. but: columns that are something else."""
    left_out = {*but, *base.needs(), *(n for some in base.companions for n in some)}
    found = []
    for name in dict.fromkeys(name for row in rows for name in row):
        filled = [row for row in rows if not blank(row.get(name))]
        given = [row for row in filled if isinstance(row[name], (str, int, float))]
        if name in left_out or len(given) <= len(filled) / 2:
            continue
        values = Counter(spelled(row[name]) for row in given)
        points = tuple(base.points(row[name], row) for row in given)
        numeric = all(number(row[name]) is not None for row in given)
        meant = {spelled(row[name]): point for row, point in zip(given, points, strict=True)}
        lost = [row for row, point in zip(given, points, strict=True) if point == NOTHING]
        both = sum(base.of_both(row[name], row) for row in lost)
        one = Candidate(name, values, points, meant, numeric, both)
        if one.sure or (one.named and (numeric or len(values) <= FEW)):
            found.append(one)
    return found


@dataclass(frozen=True)
class Numbers:
    """Columns with a number or a mark for each answer, or one with a list of numbers. how: None if
    it is not known what they say. words: of their names. marks: some are true or false. named:
    it is a list of answers' names, or an order of them."""

    columns: tuple[str, ...]
    how: How | None
    words: frozenset[str] = frozenset()
    marks: bool = False
    named: bool = False

    @property
    def worse(self) -> bool:
        """They count against an answer, as far as their names say."""
        return words_say_worse(self.words)


def judges(rows: Rows, base: Layout, family: Family | None) -> tuple[str, ...]:
    """All columns that read as a verdict, by their names or as numbers of the answers."""
    apart = [name for some in per_answer(rows, base, family) for name in some.columns]
    found = candidates(rows, base, {*apart, *ABOUT, *BEFORE})
    remarks = [n for n in dict.fromkeys(n for row in rows for n in row) if _remarks(n)]
    return (*(one.name for one in found if one.named), *apart, *remarks)


def _remarks(name: str) -> bool:
    """Whether a name is that of a remark about a verdict: winner_confidence, explanation."""
    words = set(words_of(name))
    return bool(words & _EXPLAINS or (words & BETTER and words & (_REMARKS | TIES)))


def per_answer(rows: Rows, base: Layout, family: Family | None) -> list[Numbers]:
    """All columns with a number for each answer, but those that count or measure it."""
    names = frozenset(name for row in rows for name in row)
    lists = (n for n in sorted(names) if n not in base.needs() and _counts(rows, n, base))
    found: list[tuple[set[str], tuple[str, ...]]] = [(set(parts_of(n)), (n,)) for n in lists]
    others = sides.same_places(family, sides.families(names)) if family else ()
    found += [(set(f.about), f.columns) for f in others if _all_numbers(rows, f.columns)]
    return [
        Numbers(c, _how(w, rows, c), frozenset(w), _spoken(rows, c), _named(rows, c))
        for w, c in found
        if not w & _MEASURES
    ]


def _how(words: set[str], rows: Rows, columns: tuple[str, ...]) -> How | None:
    """What the words of columns with numbers say, where they can say one thing alone."""
    if words & _WINS and words <= _WINS | _PLAIN and len(columns) > 1 and _marks(rows, columns):
        return How.WINS
    if words & RANKS and words <= RANKS | _PLAIN:
        return How.RANKS
    if _named(rows, columns):
        return How.SCORES if words & _VOTES and words <= _VOTES | _PLAIN else None
    return How.SCORES if words & _SCORES and words <= _SCORES | _PLAIN else None


def _spoken(rows: Rows, names: Sequence[str]) -> bool:
    """Whether some values are marks that are no numbers: true, "yes"."""
    values = [row.get(name) for row in rows for name in names]
    return any(number(v) is None and mark(v) is not None for v in values)


def _all_numbers(rows: Rows, names: Sequence[str]) -> bool:
    values = [row[name] for row in rows for name in names if not blank(row.get(name))]
    fit = sum(number(v) is not None or mark(v) is not None for v in values)
    return fit > len(values) / 2  # rows that are bad are not the rule


def _counts(rows: Rows, name: str, base: Layout) -> bool:
    """Whether a column holds a list or an object of numbers, one for each answer, wherever it is
    given; or, where its name says so, names of answers in their order or as votes."""
    given = [row for row in rows if not blank(row.get(name))]
    if not given or isinstance(given[0][name], (int, float)) or (name,) in base.companions:
        return False
    words = set(parts_of(name))
    if is_named(given[0][name]) and not words & (RANKS | _ORDERS | _VOTES):
        return False
    if isinstance(given[0][name], str) and len(base.texts(given[0])) == 2 and ">" in given[0][name]:
        return False  # a verdict
    how = How.SCORES if words & _VOTES and not words & RANKS else How.RANKS
    told = sum(spread(row[name], how, base, row) is not None for row in given)
    return told > len(given) / 2  # rows that are bad are not the rule


def _named(rows: Rows, columns: Sequence[str]) -> bool:
    return len(columns) == 1 and any(is_named(row.get(columns[0])) for row in rows)


def _marks(rows: Rows, names: Sequence[str]) -> bool:
    return all(mark(row.get(name)) is not None for row in rows for name in names)


def mark(value: Any) -> bool | None:
    """True or false, however it is spelled; None for any other value."""
    try:
        return truth(value, "")
    except BadRow:
        return None


def companions(rows: Rows, base: Layout, family: Family | None) -> tuple[tuple[str, ...], ...]:
    """Columns of texts with one for each answer, such as names of models; of a list, lists."""
    names = frozenset(name for row in rows for name in row)
    if base.listed:
        orders = RANKS | _ORDERS | _VOTES
        lists = (
            n for n in sorted(names) if n not in base.needs() and not orders & set(parts_of(n))
        )
        return tuple((n,) for n in lists if all(is_texts(listed(row.get(n))) for row in rows))
    others = sides.same_places(family, sides.families(names)) if family else ()
    texts = {f: sum(is_texts([row.get(n) for n in f.columns]) for row in rows) for f in others}
    return tuple(family.columns for family, count in texts.items() if count > len(rows) / 2)


def is_texts(values: Any) -> bool:
    """Whether a value is a list of texts, none of them a number."""
    return isinstance(values, (list, tuple)) and all(
        isinstance(value, str) and number(value) is None for value in values
    )
