"""The config of ``data=files``. A path is not part of a recipe: the digest of what it holds is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """What decides how the rows of one file become records of one type."""

    record_type: RecordType
    on_bad_row: OnBadRow
    template: Template
    user: str | None
    group: str | None
    split: str | None
    rendered: bool = False
    ignore: tuple[str, ...] = ()


@dataclass
class FilesConfig:
    """Records out of files: one path per record type, or ``path`` and ``record`` for one type."""

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
    on_bad_row: OnBadRow = option(
        OnBadRow.error,
        "error: a bad row stops the run before any work; skip: leave it out, counted",
    )
    template: Template = option(
        Template.alpaca,
        "how rows with an instruction (Alpaca, self-instruct, LLMBar) become prompts; chat: what "
        "a user says to the assistant",
    )
    rendered: bool = option(
        False,
        "prompts were rendered with the model's chat template beforehand: what is spelled like a "
        "special token is one",
    )
    ignore: list[str] = option(factory=list, doc="columns that are not to be read")
    user: str | None = option(None, "column with the user id; null: 'user' where there is one")
    group: str | None = option(
        None,
        "column with the unit that must not cross splits; null: 'group', else the text's opening",
    )
    split: str | None = option(
        None, "column with train, validation or test; null: 'split' where there is one"
    )

    def paths(self) -> dict[RecordType, str]:
        """The path of each record type that is given."""
        given = {t: self.path if t == self.record else getattr(self, t) for t in RECORD_TYPES}
        return {record_type: path for record_type, path in given.items() if path}

    def row_settings(self, record_type: RecordType) -> RowSettings:
        """How the rows of that type's file are read."""
        return RowSettings(
            record_type,
            self.on_bad_row,
            self.template,
            self.user,
            self.group,
            self.split,
            self.rendered,
            tuple(self.ignore),
        )

    def check(self) -> Iterator[tuple[str, str]]:
        """The two forms are not mixed, and something is given."""
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
