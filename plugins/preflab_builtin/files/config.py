"""Configs of the data sources that read real inputs. A path is not part of a recipe: the digest of what it holds is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preflab import option


class RecordKind(StrEnum):
    """The record types, as config values."""

    prompts = "prompts"
    demonstrations = "demonstrations"
    rankings = "rankings"
    documents = "documents"


class OnBadRow(StrEnum):
    """What to do about a row that is no record."""

    error = "error"
    skip = "skip"


class Template(StrEnum):
    """How an instruction becomes a prompt."""

    alpaca = "alpaca"
    plain = "plain"


class Preferences(StrEnum):
    """Which judgements of UKPConvArg1 count."""

    gold_strict = "gold_strict"
    votes = "votes"


@dataclass
class FilesConfig:
    """Records out of files: one path a record type, or ``path`` and ``record`` for one type alone."""

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
        "how rows with an instruction (Alpaca, self-instruct, LLMBar) become prompts",
    )
    user: str | None = option(None, "column with the user id; null: 'user' where there is one")
    group: str | None = option(
        None,
        "column with the unit that must not cross splits; null: 'group', else the text's opening",
    )
    split: str | None = option(
        None, "column with train, validation or test; null: 'split' where there is one"
    )

    def paths(self) -> dict[str, str]:
        """The path of each record type that is given."""
        given = {kind.value: getattr(self, kind.value) for kind in RecordKind}
        if self.record is not None and self.path is not None:
            given[self.record.value] = self.path
        return {record_type: path for record_type, path in given.items() if path}

    def check(self) -> Iterator[tuple[str, str]]:
        """The two forms are not mixed, and something is given."""
        direct = [kind.value for kind in RecordKind if getattr(self, kind.value)]
        if self.record is not None and direct:
            yield (
                direct[0],
                f"cannot be given here, where only {self.record.value} are read: use 'path', or data=files",
            )
        elif self.record is not None and not self.path:
            yield (
                "path",
                f"is not given but must name a file of {self.record.value}, for example path=my.jsonl",
            )
        elif self.path and self.record is None:
            allowed = ", ".join(kind.value for kind in RecordKind)
            yield "record", f"is not given, so nobody knows what 'path' holds. Allowed: {allowed}"
        elif self.record is None and not direct:
            yield (
                "prompts",
                "and demonstrations, rankings and documents are all null: name a file for at least one of them",
            )


@dataclass
class UkpConfig:
    """UKPConvArg1 (Habernal & Gurevych 2016): which of two arguments convinces more; one ranking a side of a debate."""

    name: str = option("ukp", "component")
    path: str = option(
        "", "folder with arguments.jsonl.gz and pairs.jsonl.gz", affects_result=False
    )
    preferences: Preferences = option(
        Preferences.gold_strict, "gold_strict: one a pair with a clear winner; votes: one a vote"
    )
    prompt: str = option(
        "Debate: {title}\nSide: {stance}\nArgument:",
        "prompt of a side; {title} and {stance} are filled in",
    )
    folds: int = option(6, "parts that the debates are dealt into; a debate is never divided", ge=2)
    test_fold: int | None = option(0, "the part for testing, from 0; null: none")
    validation_fold: int | None = option(1, "the part for validation, from 0; null: none")
    test_titles: list[str] = option(
        factory=list, doc="debates for testing by title, instead of a part"
    )
    seed: int = option(0, "of the dealing; it does not follow the run's")

    def check(self) -> Iterator[tuple[str, str]]:
        """A path, different parts, a usable prompt."""
        if not self.path:
            yield (
                "path",
                "is empty but must name the folder with arguments.jsonl.gz and pairs.jsonl.gz",
            )
        for field in ("test_fold", "validation_fold"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < self.folds:
                yield (
                    field,
                    f"is {value} but must be null or 0 to {self.folds - 1} (folds={self.folds})",
                )
        if (
            self.test_fold is not None
            and self.test_fold == self.validation_fold
            and not self.test_titles
        ):
            yield "validation_fold", f"is {self.validation_fold} as test_fold is: they must differ"
        if "{title}" not in self.prompt or "{stance}" not in self.prompt:
            yield (
                "prompt",
                "must hold {title} and {stance}, or different debates would have one prompt",
            )


@dataclass
class RatingsConfig:
    """Short texts that many people rated (Hutto & Gilbert 2014): openings to continue, and K texts ranked by mean rating."""

    name: str = option("ratings", "component")
    path: str = option(
        "", "file of rows {id, text, ratings}, or a folder of such files", affects_result=False
    )
    opening: str = option("Review:", "prompt of every ranking, and how every other prompt begins")
    prompt_words: int = option(
        3, "words of a text after the opening that a prompt holds; the policy continues", ge=1
    )
    k: int = option(4, "K, texts in one ranking (InstructGPT: 4 to 9)", ge=2, le=35)
    rounds: int = option(1, "rankings that each text stands in, with other texts each time", ge=1)
    tie: float = option(
        0.5,
        "texts whose mean ratings differ by less than this are tied (ratings go from -4 to 4)",
        gt=0,
    )
    group_separator: str | None = option(
        None, "ids up to the first one of it name what stays in one split; null: each id alone"
    )
    min_ratings: int = option(10, "texts with fewer ratings are left out, counted", ge=1)
    validation: float = option(0.1, "share of texts for validation", ge=0, lt=1)
    test: float = option(0.1, "share of texts for testing", ge=0, lt=1)
    seed: int = option(0, "of splits and of who stands beside whom; it does not follow the run's")

    def check(self) -> Iterator[tuple[str, str]]:
        """A path, an opening that a causal LM can read, and something left to train on."""
        if not self.path:
            yield "path", "is empty but must name a file of rows {id, text, ratings}"
        if not self.opening.strip():
            yield (
                "opening",
                "is empty, but a causal language model needs at least one token to start from",
            )
        if self.group_separator == "":
            yield "group_separator", "is an empty text; give null to keep nothing together"
        if self.validation + self.test >= 1:
            yield (
                "test",
                f"is {self.test}, with validation={self.validation} nothing is left to train on",
            )


@dataclass
class PydocConfig:
    """Paragraphs of Python's own language reference (``pydoc_data.topics``): English text that every Python has."""

    name: str = option("pydoc", "component")
    min_characters: int = option(200, "shortest paragraph", ge=1)
    max_characters: int = option(600, "longest paragraph", ge=1)
    validation: float = option(0.1, "share of paragraphs for validation", ge=0, lt=1)
    test: float = option(0.1, "share of paragraphs for testing", ge=0, lt=1)
    seed: int = option(0, "of the splits; it does not follow the run's")

    def check(self) -> Iterator[tuple[str, str]]:
        """Lengths in order, and something left to train on."""
        if self.min_characters > self.max_characters:
            yield (
                "min_characters",
                f"is {self.min_characters} but must be <= max_characters={self.max_characters}",
            )
        if self.validation + self.test >= 1:
            yield (
                "test",
                f"is {self.test}, with validation={self.validation} nothing is left to train on",
            )
