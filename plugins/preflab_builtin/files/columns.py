"""The columns of a row that nobody reads: those that would change what the row says are refused by
name; the others are counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from preflab.rows import BadRow, shown
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.meanings import Kind, meaning
from preflab_builtin.files.names import twins
from preflab_builtin.files.unread import Unread, check_kept
from preflab_builtin.files.values import blank
from preflab_builtin.files.verdicts import doubts
from preflab_builtin.files.verdicts.candidates import mark, names_tie

if TYPE_CHECKING:
    from preflab_builtin.files.verdicts.layouts import Layout

FEW_VALUES = 10
"""Values of a column below which a file is told of them; not many more are kept."""
_OF_OTHER_TYPES = ("completion", "completions", "chosen", "rejected")


class Remark(Enum):
    """What readers remark about single rows: the sentence about the file, and whether it is said
    only if all rows are so."""

    OTHERWISE = (
        "in {n} of {of} rows the scores, ranks or marks of the answers prefer another one than the "
        "verdict, which counts.",
        False,
    )
    SCORES_AS_RANKS = (
        "the scores of all {of} rows are 1, 2, 3, ... once each, and the highest is taken for the "
        "best. If 1 is the best, they are ranks.",
        True,
    )
    NO_INPUT = (
        "in {n} of {of} rows the input is a word for nothing, as 'nan', and the model reads it.",
        False,
    )
    LIKED = ("the label is true in all {of} rows: is it the right column?", True)
    BEGINS = (
        "in {n} of {of} rows the answers begin with their prompt, which is then read twice.",
        False,
    )
    HOLDS = (
        "in {n} of {of} rows the answers hold their whole prompt near their start, which is then "
        "read twice.",
        False,
    )
    BETTER_ALONE = (
        "in {n} of {of} rows the better answer alone repeats its prompt near its start: a reward "
        "model can learn to look for that. Take it off.",
        False,
    )
    WORSE_ALONE = (
        "in {n} of {of} rows the worse answer alone repeats its prompt near its start: a reward "
        "model can learn to look for that. Take it off.",
        False,
    )
    RANKS_BY_PLACE = (
        "in {n} of {of} rows the ranks would say something else as an order: the first number is "
        "read as the rank of the first answer, 1 the best, and not as the number of the best "
        "completion.",
        False,
    )
    TAGS_IN_A_TEXT = (
        "in {n} of {of} rows 'tags' is a text with a comma or the like, which is one tag. For "
        'several write a list: ["a", "b"].',
        False,
    )
    OTHER_ID = (
        "in {n} of {of} rows the id is another one than that of an earlier row with the same "
        "prompt, so that they count as two prompts, and intervals are too narrow if they are one. "
        "If the ids name rows and not prompts: {ignore_id}.",
        False,
    )
    PARTLY_RANKED = (
        "in {n} of {of} rows the order names some of the answers alone: the others count as not "
        "compared, and not as worse.",
        False,
    )
    TAKEN_OFF = (
        "in {n} of {of} rows the answers began with their prompt: it was taken off, so that it is "
        "not read twice.",
        False,
    )

    def __init__(self, sentence: str, of_all: bool) -> None:
        self.sentence, self.of_all = sentence, of_all


@dataclass
class Reading:
    """What the rows of one file are read with: its options, and the counts of what is not read.
    unread: rows by the name of a harmless column. of_row: such columns of the row at hand. names:
    all columns of the file, where the config renames or ignores some. shapes: rows by shape.
    remarks: rows by what a reader remarked. values: a few values of the columns user and group.
    repeats: what stands before the prompt in nearly all answers (`repeats.repeated`).
    others: what columns that nobody reads hold over the file. layout: of rows with several answers
    and a verdict. judged: rows by the number of their best answer, -1 for a tie.
    likes: the rows are single answers that people liked or not (KTO) or scored, and rankings
    together. alone: such rows, by what was read of them.
    opening: the turns with which most conversations begin (`transcripts.shared_opening`)."""

    settings: RowSettings
    unread: Counter[str] = field(default_factory=Counter)
    of_row: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    shapes: Counter[str] = field(default_factory=Counter)
    remarks: Counter[Remark] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=dict)
    repeats: str | None = None
    others: Unread = field(default_factory=Unread)
    layout: Layout | None = None
    judged: Counter[int] = field(default_factory=Counter)
    likes: bool = False
    alone: Counter[str] = field(default_factory=Counter)
    opening: str = ""

    def view(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row as the config wants it read: without what it ignores, its columns under the names
        that the shapes have; `BadRow` if there are two of one name then."""
        ignored, renamed = self.settings.ignore, self.settings.renamed
        if not ignored and not renamed:
            return row
        kept = {name: value for name, value in row.items() if name not in ignored}
        sources = {name for name, _ in renamed}
        named = {usual: kept[name] for name, usual in renamed if name in kept}
        self.names.update(row)
        others = {name: value for name, value in kept.items() if name not in sources}
        both = next((name for name in named if not blank(others.get(name))), None)
        if both is not None:
            source = next(name for name, usual in renamed if usual == both)
            cure = f"If it does not count: {self.settings.option(f'ignore=[{both}]')}"
            raise BadRow(both, f"and {shown(source)}, named by the config, are both there. {cure}")
        return {**others, **named}

    def saw(self, column: str, value: str) -> None:
        """Remember a value of the column user or group, as long as there are few."""
        seen = self.values.setdefault(column, set())
        if len(seen) <= FEW_VALUES:
            seen.add(value)

    def rest(self, values: Mapping[str, Any], read: Collection[str], where: str = "") -> None:
        """Look at what is left of a row, or of an object in it, when ``read`` was read; `BadRow`
        for something that would change what it says. where: the object's place, with a dot."""
        settings = self.settings
        for name, value in values.items():
            if name in read or blank(value):
                continue
            kind = _kind(name, value, values, bool(where))
            if not where and settings.record_type == "rankings" and _ties(name, value):
                skip, ignore = (settings.option(o) for o in ("on_bad_row=skip", f"ignore=[{name}]"))
                what = "says that the row is a tie, which is not read here. Leave such rows out"
                raise BadRow(shown(name), f"{what}: {skip}. If it does not count: {ignore}")
            if not where and (kind is None or kind is Kind.JUDGED):
                check_kept(name, value, settings.option)
            if kind and not self._beside(name, kind):
                raise BadRow(
                    f"{where}{shown(name)}",
                    f"holds {kind.value}, {self._cure(name, value, kind, where)}",
                )
            if kind is None and not where:
                self._unread(name, value, values, read)
            if not kind or settings.record_type != "prompts":
                self.of_row.add(_label(where, name))
            if isinstance(value, (str, int, float)):
                continue
            if kind is None and isinstance(value, Mapping):
                hidden = (inner for inner, v in value.items() if not blank(v) and meaning(inner, v))
                self.of_row.update(f"{_label(where, name)}.{shown(str(inner))}" for inner in hidden)

    def _unread(self, name: str, value: Any, row: Mapping[str, Any], read: Collection[str]) -> None:
        record_type = self.settings.record_type
        known = record_type == "documents" or name in _OF_OTHER_TYPES
        wanted = not known and self.others.wants(name, value)
        if wanted and not (isinstance(value, str) and _all_again(value, row, read)):
            self.others.text(name, value)
        if record_type == "demonstrations":
            self.others.mark(name, value)

    def _cure(self, name: str, value: Any, kind: Kind, where: str) -> str:
        """What to do about a column, or about a key inside a row."""
        option, column = self.settings.option, shown(name)
        if where:
            return f"which is not read here. Leave such rows out: {option('on_bad_row=skip')}"
        use = "Put it into the prompt"
        if kind is Kind.TOLD:
            use = f"If it is the system message: {option(f'columns.system={column}')}"
        elif kind is Kind.SAID and isinstance(value, (list, tuple)):
            use = f"If it holds the earlier turns: {option(f'columns.history={column}')}"
        elif kind is Kind.JUDGED and self.settings.record_type == "rankings":
            return self._verdict(column)
        elif kind is Kind.JUDGED and self.settings.record_type == "demonstrations":
            use = f"If it says whether people liked it: {option(f'columns.label={column}')}"
        elif kind not in (Kind.SAID, Kind.ABOUT):
            use = "Leave the row out"
        return (
            f"which is not read here. {use}. If it does not count: {option(f'ignore=[{column}]')}"
        )

    def _verdict(self, column: str) -> str:
        """What to do about a column that may say which answer is better. Leaving it out is no cure:
        then another answer may be taken for the better one."""
        option, names = self.settings.option, {u: name for name, u in self.settings.renamed}
        pair = [shown(names.get(usual, usual)) for usual in ("chosen", "rejected")]
        answers = "" if self.layout is not None else option(f"verdict.answers=[{','.join(pair)}]")
        cure = f"{answers} {doubts.winner(column, self.settings)}".strip()
        return (
            f"which is not read here. If it says which answer is better: {cure}. If it is about "
            "something else, take the column out of the file"
        )

    def _beside(self, name: str, kind: Kind) -> bool:
        """Whether a column with content is beside the point: answers where prompts are read, a
        question where documents are, what rows of another record type have."""
        record_type = self.settings.record_type
        return (
            (record_type == "prompts" and kind in (Kind.JUDGED, Kind.ANSWER))
            or (record_type == "documents" and kind not in (Kind.MEDIA, Kind.WEIGHT))
            or name in _OF_OTHER_TYPES
        )


def _kind(name: str, value: Any, row: Mapping[str, Any], inside: bool) -> Kind | None:
    """What a column may mean; a fact about each of both answers of a pair judges neither."""
    kind = meaning(name, value, inside=inside)
    return None if kind is Kind.JUDGED and name in twins(frozenset(row)) else kind


def _ties(name: str, value: Any) -> bool:
    """Whether a column says that no answer of the row is better."""
    return names_tie(name) and mark(value) is True


def _all_again(text: str, row: Mapping[str, Any], read: Collection[str]) -> bool:
    """Whether a text holds two of the columns that are read, and the longest: Alpaca's ``text``.
    A passage that the answer is out of does not hold the question."""
    said = (row[name].strip() for name in read if isinstance(row.get(name), str))
    given = sorted(filter(None, said), key=lambda text: (len(text), text))
    return len(given) > 1 and given[-1] in text and any(one in text for one in given[:-1])


@lru_cache(maxsize=4096)
def _label(where: str, name: str) -> str:
    """A column as it is counted: the same for every item of a list."""
    return shown(re.sub(r"\[\d+\]", "[]", where) + name) or "a column without a name"
