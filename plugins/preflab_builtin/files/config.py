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
    splits: SplitNames = option(factory=SplitNames, doc="what your splits are called")
    ignore: list[str] = option(factory=list, doc="columns that are not to be read")
    user: str | None = option(None, "column with the user id; null: 'user' where there is one")
    group: str | None = option(
        None,
        "column with the unit that must not cross splits; null: 'group', else the text's opening",
    )
    split: str | None = option(
        None, "column with train, validation or test; null: 'split' where there is one"
    )

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
            self.columns.renamed(),
            self.splits.meanings(),
            tuple(self.ignore),
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
