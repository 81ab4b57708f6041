"""Configs of the filters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from preflab import option


class Shares(Protocol):
    """Shares of the splits, and the seed of the hash that assigns them: fields of some configs."""

    validation: float
    test: float
    seed: int


def check_shares(shares: Shares) -> Iterator[tuple[str, str]]:
    """Something must be left to train on."""
    if shares.validation + shares.test >= 1:
        reason = f"with validation={shares.validation} nothing is left to train on"
        yield "test", f"is {shares.test}, {reason}"


@dataclass
class SplitConfig:
    """Shares of the splits; the component decides what is kept together."""

    name: str = option("", "component")
    validation: float = option(0.1, "share for validation", ge=0, lt=1)
    test: float = option(0.1, "share for testing", ge=0, lt=1)
    overwrite: bool = option(False, "also assign the records that have a split already")
    seed: int = option(0, "of the hash that assigns; it does not follow the run's seed")

    def check(self) -> Iterator[tuple[str, str]]:
        """Something must be left to train on."""
        return check_shares(self)


@dataclass
class SplitByUserConfig(SplitConfig):
    """Train, validation and test by user, so that no user is in two of them (InstructGPT 3.2). A
    record without a user goes with its group, one without either by its id; so do documents."""

    name: str = option("split_by_user", "component")


@dataclass
class SplitByGroupConfig(SplitConfig):
    """Train, validation and test by group (a debate, a dialogue), so that no group is in two of
    them. A record without a group, and every document, goes by its id."""

    name: str = option("split_by_group", "component")


@dataclass
class SplitByPromptConfig(SplitConfig):
    """Train, validation and test by the prompt's text: equal prompts are in one split, whoever
    wrote them and whatever group they are in. Documents go by their id."""

    name: str = option("split_by_prompt", "component")


@dataclass
class DeduplicateConfig:
    """Leaves out what is there already: the same prompt but for case, space and end punctuation,
    and for demonstrations and rankings the same responses too. InstructGPT (3.2) compares a long
    common beginning, of a length that it does not give: see length."""

    name: str = option("deduplicate", "component")
    length: int | None = option(
        None,
        "compare so many first words of the last user turn, and all before it; a template inside "
        "that turn counts (Alpaca: 26 words); null: compare the whole prompt",
        ge=1,
    )
    ignore: list[str] = option(
        factory=list, doc="words that do not count, in any case: greetings, thanks, punctuation"
    )


@dataclass
class CapConfig:
    """At most N different prompts of one user (InstructGPT A.2: about 200)."""

    name: str = option("cap_per_user", "component")
    prompts: int = option(
        200, "most prompts of a user; records without a user are not counted", ge=1
    )
    seed: int = option(
        0, "of the hash that chooses which are kept; it does not follow the run's seed"
    )


@dataclass
class PrivateConfig:
    """Leaves out records with private details, in every split: a test set of other texts than the
    training set measures something else. InstructGPT (3.2) filters the training split only."""

    name: str = option("drop_private", "component")
    emails: bool = option(True, "look for e-mail addresses")
    phones: bool = option(True, "look for phone numbers of 7 to 15 digits")
    regions: list[str] = option(
        factory=lambda: ["US"],
        doc="countries whose usual writing of a number is one without '+' or a word before it",
    )
    words: list[str] = option(
        factory=list,
        doc="words that announce private details, whole and in any case: phone, address",
    )
    patterns: list[str] = option(factory=list, doc="regular expressions of Python's re")
    responses: bool = option(True, "look into responses as well as prompts")
    train_only: bool = option(False, "filter the training split alone, as InstructGPT did")
    reserved: bool = option(
        False, "count e-mail addresses at domains that are kept for examples (example.com) too"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """Patterns compile and words are words."""
        for pattern in self.patterns:
            try:
                if re.compile(pattern).search("") is not None:
                    reason = "which matches the empty text and so every record"
                    yield "patterns", f"holds {pattern!r}, {reason}"
            except re.error as error:
                yield "patterns", f"holds {pattern!r}, not a regular expression: {error}"
        if wrong := [r for r in self.regions if not re.fullmatch("[A-Z]{2}", r)]:
            yield "regions", f"holds {wrong[0]!r}: two capital letters name a country (US, DE)"
        if any(not word.strip() for word in self.words):
            yield "words", "holds an empty word"
        if not (self.emails or self.phones or self.words or self.patterns):
            yield "emails", "and phones are false and words and patterns empty: nothing to look for"


@dataclass
class LengthConfig:
    """Leaves out long prompts (InstructGPT C: over 1000 tokens). At least one limit is given."""

    name: str = option("length", "component")
    max_words: int | None = option(None, "most words of a prompt; null: any number", ge=1)
    max_characters: int | None = option(None, "most characters of a prompt; null: any number", ge=1)
    max_tokens: int | None = option(
        None, "most tokens of a prompt as the policy reads it; null: any number", ge=1
    )
    max_row_tokens: int | None = option(
        None,
        "most tokens of a prompt with its longest response, end token included; null: any number",
        ge=2,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A limit must be given."""
        limits = (self.max_words, self.max_characters, self.max_tokens, self.max_row_tokens)
        if all(limit is None for limit in limits):
            others = "max_row_tokens, max_words and max_characters"
            yield "max_tokens", f"{others} are all null: give one, such as 1000"
