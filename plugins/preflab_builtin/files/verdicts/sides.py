"""Columns of which a row has one for each of its answers: answer_a and answer_b, score_1 to
score_4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from preflab_builtin.files.meanings import is_messages
from preflab_builtin.files.names import parts_of
from preflab_builtin.files.values import listed

LETTERS = tuple("abcdefghijklmnop")
SERIES: tuple[tuple[str, ...], ...] = (
    LETTERS,
    tuple(map(str, range(1, 17))),
    tuple(map(str, range(16))),
    ("first", "second", "third", "fourth", "fifth"),
    ("one", "two", "three", "four", "five"),
    ("left", "right"),
)
"""Words that number answers, in their order."""
ANSWERS = {
    *("answer", "answers", "response", "responses", "completion", "completions", "output"),
    *("outputs", "reply", "replies", "generation", "generations", "summary", "summaries"),
    *("candidate", "candidates", "option", "options", "solution", "solutions", "continuation"),
    *("continuations", "choices", "assistant", "text", "message", "conversation", "hypothesis"),
    *("human", "ref", "resp", "translation", "translations"),
}
"""Words of columns that hold answers."""
_HOLE = "*"


@dataclass(frozen=True)
class Family:
    """Columns that differ in one word of their names. form: the words, with a hole. series: the
    words that fill it, in their order."""

    form: tuple[str, ...]
    columns: tuple[str, ...]
    series: tuple[str, ...]

    @property
    def about(self) -> frozenset[str]:
        """The words that all its columns have."""
        return frozenset(word for word in self.form if word != _HOLE)


@lru_cache(maxsize=1024)
def families(names: frozenset[str]) -> tuple[Family, ...]:
    """All families of two or more columns among these, with a series from its start."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for name in sorted(names):
        parts = parts_of(name)
        for at, part in enumerate(parts):
            if any(part in series for series in SERIES):
                form = (*parts[:at], _HOLE, *parts[at + 1 :])
                found.setdefault(form, {})[part] = name
    made = []
    for form, columns in found.items():
        for series in SERIES:
            some = series[: len(columns)]
            if len(columns) > 1 and set(some) == set(columns):
                made.append(Family(form, tuple(columns[word] for word in some), some))
                break
    return tuple(made)


def same_places(family: Family, others: Sequence[Family]) -> list[Family]:
    """The other families with a column for each of the same answers."""
    return [
        other for other in others if other.series == family.series and other.form != family.form
    ]


def backwards(columns: tuple[str, ...]) -> bool:
    """Whether two columns of one family stand in the other order: score_b, score_a."""
    return len(columns) == 2 and any(
        family.columns == columns[::-1] for family in families(frozenset(columns))
    )


def answer_families(rows: Sequence[Mapping[str, Any]], names: frozenset[str]) -> list[Family]:
    """Families of columns that hold answers, by their names and by their values: texts, messages,
    or lists of texts."""
    found = []
    for family in families(names):
        named = family.about <= ANSWERS  # no word at all: columns a and b
        if named and _mostly(rows, family.columns, _says_something):
            found.append(family)
    return found


def answer_lists(rows: Sequence[Mapping[str, Any]], names: frozenset[str]) -> list[str]:
    """Columns that hold all answers of a row as a list."""
    named = [n for n in sorted(names) if parts_of(n) and set(parts_of(n)) <= ANSWERS]
    return [name for name in named if _mostly(rows, (name,), _is_list_of_answers)]


def _mostly(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], check: Callable[[Any], bool]
) -> bool:
    values = [row[name] for row in rows for name in names if row.get(name) is not None]
    return sum(map(check, values)) > len(values) / 2  # rows that are bad are not the rule


def _says_something(value: Any) -> bool:
    return isinstance(value, (str, list, tuple, Mapping))


def _is_list_of_answers(value: Any) -> bool:
    found = listed(value)
    if not isinstance(found, (list, tuple)) or len(found) < 2:
        return False
    if is_messages(found):
        return False
    return all(isinstance(item, str) or is_messages([item]) or is_messages(item) for item in found)
