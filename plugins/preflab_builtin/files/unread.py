"""What the columns that nobody reads hold over a whole file, judged by their values: texts that a
prompt may need, marks that may say that an answer is bad, and marks that leave a row out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from preflab.rows import BadRow, fields, shown
from preflab_builtin.files.names import FACTS, words_of
from preflab_builtin.files.values import listed, truth

_LOOKED_AT = 1000
"""Rows whose texts are compared."""
_WORDS, _LETTERS = 3, 10
"""Words of a text that says more than a label; letters of one in a script without spaces."""
_HARMLESS = FACTS | {
    *("uri", "links", "path", "titles", "author", "authors", "updated", "annotator"),
    *("annotators", "tag", "tags", "topics", "categories", "keyword", "keywords", "subreddit"),
    *("note", "notes", "comment", "comments", "remark", "remarks", "citation", "reference"),
    *("references", "name", "critique", "summary", "file", "files"),
}
"""Words that make a column's texts a fact about the row."""
_JUDGES = {"score", "rating", "reward", "stars", "quality", "grade", "sentiment", "helpful"}
_JUDGES |= {"helpfulness", "correctness", "votes", "upvotes", "karma"}
_COUNTS = {"id", "idx", "index", "num", "n", "turn", "turns", "count", "length", "len", "tokens"}
_COUNTS |= {"has", "seed", "timestamp", "row", "number", "page", "year", "level", "offset"}
_LOW = {"rejected", "reject", "bad", "spam", "failed", "fail", "wrong", "incorrect", "deleted"}
_LOW |= {"flagged", "harmful", "toxic", "invalid", "discarded", "unsafe", "poor", "negative"}
_LOW |= {"disliked", "dislike", "false", "no", "unacceptable", "removed", "declined", "-1"}
_OUT = {"exclude", "excluded", "skip", "skipped", "discard", "discarded", "drop", "omit", "test"}
_OUT |= {"invalid", "unusable", "ignore", "ignored", "dropped", "omitted", "withdrawn", "spam"}
_IN = {"use", "used", "include", "included", "keep", "valid", "validated", "usable", "ok"}
_STATES = {"status", "state", "validity", "review", "review_status", "annotation_status"}
_UNSAID = {"is", "was", "row", "record", "sample", "example", "item", "flag"}
"""Words that change nothing in the names of these."""
_SUBSETS = {"subset", "partition", "dataset_split", "data_split", "set"}


def check_kept(name: str, value: Any, option: Callable[[str], str]) -> None:
    """`BadRow` if a column says plainly that the row is not to be learned from: exclude, use, a
    subset for tests. option: as in `RowSettings`."""
    usual = _usual(name)
    if not usual:
        return
    ignore = f"If it does not count: {option(f'ignore=[{shown(name)}]')}"
    if usual in _STATES:
        if isinstance(value, str) and value.strip().lower() in _LOW | _OUT:
            raise BadRow(shown(name), _leaves_out(value, option, ignore))
        return
    if usual in _SUBSETS:
        subset = value.strip().lower() if isinstance(value, str) else ""
        if fields.SPLIT_WORDS.get(subset, "train") != "train":
            what = f"is '{shown(value)}'. If it is the split: {option(f'split={shown(name)}')}"
            raise BadRow(shown(name), f"{what}. {ignore}")
        return
    try:
        said = truth(value, name)
    except BadRow:
        return
    if said == (usual in _OUT):
        raise BadRow(shown(name), _leaves_out(value, option, ignore))


def _leaves_out(value: Any, option: Callable[[str], str], ignore: str) -> str:
    what = f"is {shown(str(value))}, which leaves the row out"
    return f"{what}. To do so, with a count: {option('on_bad_row=skip')}. {ignore}"


@lru_cache(maxsize=4096)
def _usual(name: str) -> str:
    """The name in the form of `_OUT`, `_IN`, `_STATES` and `_SUBSETS`; "" if it is in none."""
    usual = "_".join(word for word in words_of(str(name)) if word not in _UNSAID)
    return usual if usual in _OUT | _IN | _STATES | _SUBSETS else ""


@dataclass
class _Column:
    """texts: hashes of texts of several words. compared: rows that have one. low: rows whose mark
    is low, by the mark. numbers: the least and the highest."""

    texts: set[int] = field(default_factory=set)
    compared: int = 0
    low: dict[str, int] = field(default_factory=dict)
    least: float = math.inf
    most: float = -math.inf


class Unread:
    """The columns that nobody reads of one file, by name."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def wants(self, name: str, value: Any) -> bool:
        """Whether a value is a text that is to be looked at: enough rows decide."""
        column = self._columns.get(name)
        if column is not None and column.compared >= _LOOKED_AT:
            return False
        return isinstance(value, (str, list, tuple)) and _says_much(value)

    def text(self, name: str, value: Any) -> None:
        """Look at a column as a text."""
        column = self._columns.setdefault(name, _Column())
        column.compared += 1
        column.texts.add(hash(value if isinstance(value, str) else repr(value)))

    def mark(self, name: str, value: Any) -> None:
        """Look at a column, or at the values of an object in it, as a mark of the answer."""
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(inner, Mapping):
                    self.mark(f"{name}.{key}", inner)
            return
        number = _number(value)
        low = isinstance(value, str) and value.strip().lower() in _LOW
        if number is None and not low:
            return
        column = self._columns.setdefault(name, _Column())
        if number is not None:
            column.least, column.most = min(column.least, number), max(column.most, number)
        kept = len(column.low) < _LOOKED_AT or str(value) in column.low
        if kept and (low or (number is not None and number <= 0)):
            column.low[str(value)] = column.low.get(str(value), 0) + 1

    def refused(self) -> str | None:
        """The first column of texts that differ from row to row and whose name is not that of a
        fact about the row."""
        for name, column in self._columns.items():
            differ = len(column.texts) > max(1, column.compared / 2)
            if differ and not _HARMLESS.intersection(words_of(name)):
                return name
        return None

    def marks(self, rows: int, option: Callable[[str], str]) -> Iterator[str]:
        """Sentences on columns that may judge the answers. rows: of the file."""
        for name, column in sorted(self._columns.items()):
            words, ignore = set(words_of(name)), option(f"ignore=[{shown(name.partition('.')[0])}]")
            cure = f"take such rows out of the file. If it does not count: {ignore}."
            numbers, judges = column.least <= column.most, _JUDGES & words
            marks = numbers and -1 <= column.least <= column.most <= 1 and column.low
            if numbers and judges and not marks:
                spread = f"goes from {column.least:g} to {column.most:g}"
                if column.least == column.most:
                    spread = f"is {column.most:g} wherever it is given"
                yield f"'{shown(name)}' {spread} and is not read. If low ones are bad, {cure}"
            elif column.low and not (numbers and (_COUNTS & words or _measures(column))):
                value, count = max(column.low.items(), key=lambda item: item[1])
                what = f"'{shown(name)}' is {shown(value)} in {count} of {rows} rows"
                yield f"{what}, which are read like all others. If that says they are bad, {cure}"


def _measures(column: _Column) -> bool:
    """Numbers that are no marks: neither below zero nor 0 or 1."""
    return column.least >= 0 and column.most > 1


def _says_much(value: str | Sequence[Any]) -> bool:
    """A text of several words, a list of texts, or a list of pairs of texts."""
    found = listed(value) if isinstance(value, str) and value[:1] == "[" else value
    if isinstance(found, str):
        words = found.count(" ") >= _WORDS - 1 and len(found.split(None, _WORDS)) >= _WORDS
        return words or (len(found) >= _LETTERS and not found.isascii() and " " not in found)
    first = found[0] if isinstance(found, (list, tuple)) and found else None
    if isinstance(first, (list, tuple, Mapping)):
        inner = list(first.values()) if isinstance(first, Mapping) else list(first)
        return 0 < len(inner) <= 2 and all(isinstance(text, str) for text in inner)
    return isinstance(first, str)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and len(value) < 20:
        try:
            value = float(value)
        except ValueError:
            return None
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None
