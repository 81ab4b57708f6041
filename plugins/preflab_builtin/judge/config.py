"""Configs of judges that are language models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from preflab import option
from preflab.templates import pieces

QUESTION = """Here is a request, and a response to it.

Request: {prompt}

Response: {response}

Is this a good response? Answer Yes or No."""
COMPARISON = """Here is a request, and two responses to it.

Request: {prompt}

Response A: {first}

Response B: {second}

Which response is better? Answer A or B."""


class Scale(StrEnum):
    """What the score is."""

    probability = "probability"
    log_odds = "log_odds"


@dataclass
class AskedModel:
    """A language model that is asked for one of two answers."""

    path: str = option(
        "", "transformers folder of the judge, a run folder, or a hub id", affects_result=False
    )
    revision: str | None = option(
        None, "branch, tag or commit of a hub id; null: main", affects_result=False
    )
    max_tokens: int = option(
        512, "responses are cut to this many tokens of the judge before it reads them", ge=1
    )

    fields: ClassVar[tuple[str, ...]] = ()
    """What is filled into the question."""

    @property
    def answers(self) -> tuple[str, str]:
        """The two answers."""
        raise NotImplementedError

    @property
    def asked(self) -> str:
        """The question."""
        raise NotImplementedError

    def check(self) -> Iterator[tuple[str, str]]:
        """A model, a question with everything in it, and two answers."""
        if not self.path:
            yield "path", "is empty but must name the folder of a causal language model"
        try:
            found = {name for _, name in pieces(self.asked) if name}
        except ValueError as error:
            yield "question", f"is not a template: {error}. Write {{{{ and }}}} for braces"
            return
        if found != set(self.fields):
            wanted = ", ".join(f"{{{name}}}" for name in self.fields)
            yield "question", f"must have {wanted}, each in braces, and no other field"
        if not all(self.answers) or len(set(self.answers)) < 2:
            yield "question", f"has the answers {self.answers}: they must differ, and none is empty"


@dataclass
class JudgeConfig(AskedModel):
    """The probability that a language model answers yes to a question about a response."""

    name: str = option("judge", "component")
    question: str = option(
        QUESTION, "what is asked; {prompt} and {response} are filled in, their braces stay text"
    )
    yes: str = option("Yes", "the answer that speaks for the response")
    no: str = option("No", "the other answer")
    scale: Scale = option(
        Scale.probability, "probability of yes among both answers, or its log odds"
    )

    fields: ClassVar[tuple[str, ...]] = ("prompt", "response")

    @property
    def answers(self) -> tuple[str, str]:
        """Yes and no."""
        return self.yes, self.no

    @property
    def asked(self) -> str:
        """The question."""
        return self.question


@dataclass
class PairJudgeConfig(AskedModel):
    """How often a language model prefers the subject's response to the baseline's, asked in both
    orders, since such judges favour a place."""

    name: str = option("judge", "component")
    question: str = option(
        COMPARISON, "what is asked; {prompt}, {first} and {second} are filled in"
    )
    first: str = option("A", "the answer for the response that is shown first")
    second: str = option("B", "the answer for the other one")
    label: str = option("judge", "the measures are win_rate/LABEL, LABEL/first and LABEL/agrees")

    fields: ClassVar[tuple[str, ...]] = ("prompt", "first", "second")

    @property
    def answers(self) -> tuple[str, str]:
        """For the first response, and for the second."""
        return self.first, self.second

    @property
    def asked(self) -> str:
        """The question."""
        return self.question

    def measured(self) -> tuple[str, ...]:
        """The win rate, and how the judge itself behaves."""
        return (f"win_rate/{self.label}", f"{self.label}/first", f"{self.label}/agrees")
