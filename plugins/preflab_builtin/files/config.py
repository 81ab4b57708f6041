"""The config of ``data=files``. A path is not part of a recipe: the digest of what it holds is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum

from preflab import option
from preflab.records import RECORD_TYPES, RecordType


class RecordKind(StrEnum):
    """The record types, as config values."""

    prompts = "prompts"
    demonstrations = "demonstrations"
    rankings = "rankings"
    documents = "documents"


class OnBadRow(StrEnum):
    """What to do about a row that is not a record."""

    error = "error"
    skip = "skip"


class Template(StrEnum):
    """How an instruction becomes a prompt."""

    alpaca = "alpaca"
    plain = "plain"
    chat = "chat"


PLACES = ("first", "second", "third", "fourth")
"""Answers by their place, as options."""


@dataclass(frozen=True)
class Verdict:
    """`VerdictColumns` as plain values. values: (value, what it means: one of `PLACES`, or tie)."""

    answers: tuple[str, ...] = ()
    winner: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    start: int | None = None
    high: str | None = None
    even: float | None = None
    scores: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()
    wins: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(option, column) of all columns that are named."""
        lists = ("answers", "scores", "ranks", "wins")
        winner = (("winner", self.winner),) if self.winner else ()
        return (*((o, name) for o in lists for name in getattr(self, o)), *winner)


@dataclass(frozen=True)
class RowSettings:
    """What decides how the rows of one file become records of one type. renamed: (name in the file,
    name in the shapes). splits: (name in the file, split). section: of the config, which does not
    decide anything."""

    record_type: RecordType
    on_bad_row: OnBadRow
    template: Template
    user: str | None
    group: str | None
    split: str | None
    rendered: bool = False
    format: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    splits: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    verdict: Verdict = Verdict()
    section: str = field(default="data", repr=False)

    def option(self, words: str) -> str:
        """An option as it is written in this command, for messages."""
        return f"{self.section}.{words}"


@dataclass
class ColumnNames:
    """What your columns are called, where that is not what the shapes call them."""

    prompt: str | None = option(None, "what is asked: a text or messages")
    completion: str | None = option(None, "the answer")
    chosen: str | None = option(None, "the better answer")
    rejected: str | None = option(None, "the worse answer")
    completions: str | None = option(None, "a list of answers")
    ranks: str | None = option(None, "their ranks, 1 the best")
    scores: str | None = option(None, "their scores, higher is better")
    label: str | None = option(None, "whether people liked the answer: true or false")
    messages: str | None = option(None, "a conversation")
    system: str | None = option(None, "the system message")
    history: str | None = option(None, "earlier turns")
    instruction: str | None = option(None, "an instruction, for the template")
    input: str | None = option(None, "its input")
    output: str | None = option(None, "its answer")
    text: str | None = option(None, "a document")

    def renamed(self) -> tuple[tuple[str, str], ...]:
        """(name in the file, name in the shapes) of all that are given."""
        given = ((getattr(self, f.name), f.name) for f in fields(self))
        return tuple((name, usual) for name, usual in given if name)


@dataclass
class VerdictColumns:
    """Where the rows of a ranking hold their answers, and which column says the better one."""

    answers: list[str] = option(
        factory=list, doc="the columns with the answers in their order, or one with a list of them"
    )
    winner: str | None = option(None, "the column that says which answer is the best")
    first: list[str] = option(factory=list, doc="values of it that mean the first answer")
    second: list[str] = option(factory=list, doc="values that mean the second answer")
    third: list[str] = option(factory=list, doc="values that mean the third answer")
    fourth: list[str] = option(factory=list, doc="values that mean the fourth answer")
    tie: list[str] = option(factory=list, doc="values that mean that no answer is better")
    start: int | None = option(
        None,
        "the number that 'winner' gives the first answer: 0 or 1; null: as the file shows",
        ge=0,
        le=1,
    )
    high: str | None = option(
        None, "where 'winner' is a scale: the answer that high numbers prefer, of two"
    )
    even: float | None = option(None, "the number of that scale at which no answer is better")
    scores: list[str] = option(
        factory=list, doc="a column for each answer, or one with a list: higher is better"
    )
    ranks: list[str] = option(factory=list, doc="the same: 1 is the best")
    wins: list[str] = option(
        factory=list, doc="a column for each answer: whether it is the best; then one for a tie"
    )

    def values(self) -> tuple[tuple[str, str], ...]:
        """(value, what it means)."""
        return tuple((v, place) for place in (*PLACES, "tie") for v in getattr(self, place))

    def settings(self) -> Verdict:
        """The same as plain values."""
        return Verdict(
            *(tuple(self.answers), self.winner, self.values(), self.start, self.high, self.even),
            *(tuple(self.scores), tuple(self.ranks), tuple(self.wins)),
        )

    def check(self) -> Iterator[tuple[str, str]]:
        """One thing decides, and what explains it is next to it."""
        deciding = ("winner", "scores", "ranks", "wins")
        given = [name for name in deciding if getattr(self, name)]
        if len(given) > 1:
            yield given[1], f"and '{given[0]}' are both given: one of them decides"
        explaining = [name for name in (*PLACES, "tie") if getattr(self, name)]
        explaining += [n for n in ("start", "high", "even") if getattr(self, n) is not None]
        if explaining and not self.winner:
            yield explaining[0], "explains 'winner', which is not given: name the column"
        said = [value.strip().lower() for value, _ in self.values()]
        twice = next((place for v, place in self.values() if said.count(v.strip().lower()) > 1), "")
        if twice:
            yield twice, "holds a value that is given twice"
        if (self.high is None) != (self.even is None):
            missing, other = ("even", "high") if self.even is None else ("high", "even")
            what = "the number at which no answer is better (0, 0.5, ...)"
            what = what if missing == "even" else "the answer that high numbers prefer"
            yield other, f"needs '{missing}', {what}"
        if self.high is not None and (self.values() or self.start is not None):
            yield "high", "is for a scale, but there are options for single values"


@dataclass
class SplitNames:
    """What your splits are called, where that is not train, validation (valid, val, dev) or
    test."""

    train: list[str] = option(factory=list, doc="names that mean train")
    validation: list[str] = option(factory=list, doc="names that mean validation")
    test: list[str] = option(factory=list, doc="names that mean test")

    def meanings(self) -> tuple[tuple[str, str], ...]:
        """(name in the file, split)."""
        given = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple((name, split) for split, names in given for name in names)

    def check(self) -> Iterator[tuple[str, str]]:
        """No name means two splits."""
        names = [name for name, _ in self.meanings()]
        for split, found in ((f.name, getattr(self, f.name)) for f in fields(self)):
            twice = next((name for name in found if names.count(name) > 1), None)
            if twice is not None:
                yield split, f"holds '{twice}', which is given twice"
                return


@dataclass
class Paths:
    """What is read: one path per record type, or ``path`` and ``record`` for one type."""

    name: str = option("files", "component")
    prompts: str | None = option(
        None, "file or folder of prompts; null: none are given", affects_result=False
    )
    demonstrations: str | None = option(
        None, "file or folder of demonstrations", affects_result=False
    )
    rankings: str | None = option(None, "file or folder of rankings", affects_result=False)
    documents: str | None = option(None, "file or folder of documents", affects_result=False)
    record: RecordKind | None = option(
        None, "the record type that 'path' holds, as in rankings=files", affects_result=False
    )
    path: str | None = option(
        None, "file or folder of records of the type 'record'", affects_result=False
    )

    def paths(self) -> dict[RecordType, str]:
        """The path of each record type that is given."""
        given = {t: self.path if t == self.record else getattr(self, t) for t in RECORD_TYPES}
        return {record_type: path for record_type, path in given.items() if path}


@dataclass
class FilesConfig(Paths):
    """Records out of files: what is read (`Paths`), and how."""

    on_bad_row: OnBadRow = option(
        OnBadRow.error,
        "error: a bad row stops the run before any work; skip: leave it out, counted",
    )
    template: Template = option(
        Template.alpaca,
        "how rows with an instruction (Alpaca, self-instruct, LLMBar) become prompts; chat: every "
        "text is what a user says to an assistant, and transcripts are conversations",
    )
    rendered: bool | None = option(
        None,
        "true: prompts were rendered with the model's chat template beforehand, and what is "
        "spelled like a special token is one; false: it is text; null: text, unless most prompts "
        "hold some, which is refused",
    )
    format: str | None = option(
        None, "the shape of the rows, where columns alone do not say it; null: by their columns"
    )
    columns: ColumnNames = option(factory=ColumnNames, doc="what your columns are called")
    verdict: VerdictColumns = option(
        factory=VerdictColumns, doc="rows with several answers and a column that says the better"
    )
    splits: SplitNames = option(factory=SplitNames, doc="what your splits are called")
    ignore: list[str] = option(factory=list, doc="columns that are not to be read")
    user: str | None = option(None, "column with the user id; null: 'user' where there is one")
    labeler: str | None = option(None, "column that says who judged; null: 'labeler'")
    labeler_group: str | None = option(
        None, "column with the group of whoever judged; null: 'labeler_group'"
    )
    group: str | None = option(
        None,
        "column with the unit that must not cross splits; null: 'group', else the text's opening",
    )
    split: str | None = option(
        None, "column with train, validation or test; null: 'split' where there is one"
    )

    def renamed(self) -> tuple[tuple[str, str], ...]:
        """(name in the file, name in the shapes) of all columns that are given."""
        people = ((self.labeler, "labeler"), (self.labeler_group, "labeler_group"))
        own = ((name, usual) for name, usual in people if name)
        return (*self.columns.renamed(), *own)

    def row_settings(self, record_type: RecordType) -> RowSettings:
        """How the rows of that type's file are read."""
        return RowSettings(
            record_type,
            self.on_bad_row,
            self.template,
            self.user,
            self.group,
            self.split,
            self.rendered is True,
            self.format,
            self.renamed(),
            self.splits.meanings(),
            tuple(self.ignore),
            self.verdict.settings(),
            self.record.value if self.record else "data",
        )

    def check(self) -> Iterator[tuple[str, str]]:
        """The two forms are not mixed, something is given, and the options agree."""
        if self.rendered and self.template is Template.chat:
            yield "rendered", "is true, but template=chat makes conversations of all texts"
        direct = [record_type for record_type in RECORD_TYPES if getattr(self, record_type)]
        if self.record is not None and direct:
            only = f"where only {self.record.value} are read"
            yield direct[0], f"cannot be given here, {only}: use 'path', or data=files"
        elif self.record is not None and not self.path:
            what = f"a file of {self.record.value}, for example path=my.jsonl"
            yield "path", f"is not given but must name {what}"
        elif self.path and self.record is None:
            allowed = ", ".join(RECORD_TYPES)
            yield "record", f"is not given but must say what 'path' holds. Allowed: {allowed}"
        elif self.record is None and not direct:
            others = "demonstrations, rankings and documents"
            yield "prompts", f"and {others} are all null: name a file for at least one of them"
