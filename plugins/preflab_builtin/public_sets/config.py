"""Configs of the public sets. Paths are not part of a recipe: the digests of the files are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preflab import option
from preflab_builtin.filters.config import check_shares


class Preferences(StrEnum):
    """Which judgements of UKPConvArg1 count."""

    gold_strict = "gold_strict"
    votes = "votes"
    people = "people"


@dataclass
class UkpConfig:
    """UKPConvArg1 (Habernal & Gurevych 2016): which of two arguments convinces more; one ranking
    per side of a debate."""

    name: str = option("ukp", "component")
    path: str = option(
        "", "folder with arguments.jsonl.gz and pairs.jsonl.gz", affects_result=False
    )
    preferences: Preferences = option(
        Preferences.gold_strict,
        "gold_strict: one preference per pair with a clear winner; votes: one per vote; people: "
        "the same, with a ranking of its own for each group of people",
    )
    own_group: int = option(
        80,
        "preferences=people: votes for a side that make a person a group of their own; a ranking "
        "with the votes of all others has no group",
        ge=1,
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
    seed: int = option(0, "of the dealing; it does not follow the run's seed")

    def check(self) -> Iterator[tuple[str, str]]:
        """A path, different parts, a usable prompt."""
        if not self.path:
            files = "arguments.jsonl.gz and pairs.jsonl.gz"
            yield "path", f"is empty but must name the folder with {files}"
        for field in ("test_fold", "validation_fold"):
            value, last = getattr(self, field), self.folds - 1
            if value is not None and not 0 <= value <= last:
                yield field, f"is {value} but must be null or 0 to {last} (folds={self.folds})"
        if (
            self.test_fold is not None
            and self.test_fold == self.validation_fold
            and not self.test_titles
        ):
            yield "validation_fold", f"is {self.validation_fold} as test_fold is: they must differ"
        if "{title}" not in self.prompt or "{stance}" not in self.prompt:
            reason = "must hold {title} and {stance}, or different debates would have one prompt"
            yield "prompt", reason


@dataclass
class RatingsConfig:
    """Short texts that many people rated (Hutto & Gilbert 2014): openings to continue, and K texts
    ranked by mean rating."""

    name: str = option("ratings", "component")
    path: str = option(
        "", "file of rows {id, text, ratings}, or a folder of such files", affects_result=False
    )
    opening: str = option("Review:", "prompt of every ranking, and how every other prompt begins")
    prompt_words: int = option(
        3, "words of a text after the opening that a prompt holds; the policy continues", ge=1
    )
    k: int = option(4, "K, texts in one ranking (InstructGPT: 4 to 9)", ge=2, le=35)
    rounds: int = option(1, "rankings that each text is in, with other texts each time", ge=1)
    tie: float = option(
        0.5,
        "texts whose mean ratings differ by less than this are tied (ratings go from -4 to 4)",
        gt=0,
    )
    group_separator: str | None = option(
        None,
        "the part of an id before its first separator names what stays in one split; "
        "null: each id on its own",
    )
    min_ratings: int = option(10, "texts with fewer ratings are left out, counted", ge=1)
    validation: float = option(0.1, "share of texts for validation", ge=0, lt=1)
    test: float = option(0.1, "share of texts for testing", ge=0, lt=1)
    seed: int = option(
        0, "of splits and of which texts are ranked together; it does not follow the run's seed"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A path, an opening that a causal LM can read, and something left to train on."""
        if not self.path:
            yield "path", "is empty but must name a file of rows {id, text, ratings}"
        if not self.opening.strip():
            reason = "is empty, but a causal language model needs at least one token to start from"
            yield "opening", reason
        if self.group_separator == "":
            yield "group_separator", "is an empty text; give null to keep nothing together"
        yield from check_shares(self)


@dataclass
class PydocConfig:
    """Paragraphs of Python's own language reference (``pydoc_data.topics``): English text that
    every Python has."""

    name: str = option("pydoc", "component")
    min_characters: int = option(200, "shortest paragraph", ge=1)
    max_characters: int = option(600, "longest paragraph", ge=1)
    validation: float = option(0.1, "share of paragraphs for validation", ge=0, lt=1)
    test: float = option(0.1, "share of paragraphs for testing", ge=0, lt=1)
    seed: int = option(0, "of the splits; it does not follow the run's seed")

    def check(self) -> Iterator[tuple[str, str]]:
        """Lengths in order, and something left to train on."""
        if self.min_characters > self.max_characters:
            shortest, longest = self.min_characters, self.max_characters
            yield "min_characters", f"is {shortest} but must be <= max_characters={longest}"
        yield from check_shares(self)
