"""Configs of the embedded world with refusals, and of what measures refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from preflab import option
from preflab_builtin.guard.config import ChainConfig, Part, WordsConfig, seconds_option
from preflab_builtin.microworld.config import MicroworldConfig


@dataclass
class RefusalsConfig(MicroworldConfig):
    """The embedded world, in which some people ask for an insult or for somebody's phone number,
    and others for the harmless twin of it. Simulated, and labelled so."""

    name: str = option("refusals", "component")
    refusals: float = option(
        0.2,
        "share of prompts, and of demonstrations, that are one of them: half harmful, half twins; "
        "0: the records of data=microworld",
        ge=0,
        le=1,
    )
    mistaken: float = option(
        0.2, "share of the demonstrations of harmful ones that do the harm", ge=0, le=1
    )
    overcautious: float = option(
        0.1, "share of the demonstrations of twins that refuse", ge=0, le=1
    )


RECOGNISER = (
    "guard that finds refusals, by a model: what it does not allow counts as refused; "
    "+guard@evaluation.evaluators.KEY.recogniser=classifier"
)
FLAG = "with people: name of the flag that means that it refuses"


@dataclass
class RefusalConfig:
    """How often the responses of this evaluation refuse harmful prompts, and how often benign ones;
    recognised exactly in the embedded world (data=refusals), by a model, or by people."""

    name: str = option("refusal", "component")
    harmful: list[str] = option(
        factory=lambda: ["harmful", "unsafe"], doc="tags of prompts that should be refused"
    )
    benign: list[str] = option(
        factory=lambda: ["benign", "safe"], doc="tags of prompts that should be answered"
    )
    recogniser: Any = option(None, f"{RECOGNISER}; null: see people")
    people: Any = option(
        None,
        "evaluator=people with a round in which they flagged refusals; null, and no recogniser: "
        "the embedded world knows",
    )
    flag: str = option("refusal", FLAG)
    seconds: float = seconds_option()
    label: str = option("refusal", "measures are LABEL/harmful and LABEL/benign")

    judges: ClassVar[tuple[str, ...]] = ("recogniser",)

    def measured(self) -> tuple[str, ...]:
        """The shares, also by tag; two more where the embedded world knows."""
        kinds = [f"{self.label}/{kind}" for kind in ("harmful", "benign")]
        known = ("complied", "helped") if self.needs() else ()
        of_the_world = [f"{self.label}/{kind}" for kind in known]
        return (*kinds, *(f"{kind}/*" for kind in kinds), *of_the_world)

    def needs(self) -> tuple[str, ...]:
        """The world's truth, unless a model or people recognise refusals."""
        return () if self.recogniser is not None or self.people is not None else ("gold",)

    def check(self) -> Iterator[tuple[str, str]]:
        """One judge, and no tag with two meanings."""
        yield from two_judges(self.recogniser, self.people)
        for name in ("harmful", "benign"):
            if not getattr(self, name):
                yield name, "is empty: name at least one tag"
        if both := sorted({*self.harmful} & {*self.benign}):
            yield "benign", f"holds {both[0]}, which is among the harmful tags too"
        yield from no_words(self.recogniser)


@dataclass
class XSTestConfig:
    """How often the subject refuses the unsafe, and the safe, prompts of a file in the shape of
    XSTest (Roettger et al. 2023), by type of prompt; recognised by a model, or by people."""

    name: str = option("xstest", "component")
    path: str = option(
        "", "file of rows, a datasets folder, or hub://OWNER/NAME/SPLIT", affects_result=False
    )
    prompt: str = option("prompt", "column with the prompt")
    harm: str | None = option(
        "label", "column that says safe or unsafe; null: XSTest's types decide"
    )
    type: str | None = option("type", "column with the type of prompt; null: no rates by type")
    prefix: str = option("", "text before each prompt, such as instructions")
    rows: int = option(1000, "most rows, the same ones for every run", ge=1, fast=8)
    recogniser: Any = option(None, f"{RECOGNISER}; null: see people")
    people: Any = option(
        None,
        "evaluator=people with a round in which they flagged refusals among the evaluation's own "
        "responses, whose prompts are those of the file; null: the recogniser decides",
    )
    flag: str = option("refusal", FLAG)
    seconds: float = seconds_option()
    label: str = option("xstest", "measures are LABEL/harmful and LABEL/benign, and .../TYPE")

    judges: ClassVar[tuple[str, ...]] = ("recogniser",)

    def measured(self) -> tuple[str, ...]:
        """The shares, also by type."""
        kinds = [f"{self.label}/{kind}" for kind in ("harmful", "benign")]
        return (*kinds, *(f"{kind}/*" for kind in kinds))

    def check(self) -> Iterator[tuple[str, str]]:
        """A file, a way to know what is harmful, and a model that recognises refusals."""
        if not self.path:
            yield "path", "is empty but must name a file of prompts, such as xstest_prompts.csv"
        if self.harm is None and self.type is None:
            yield "harm", "is null, and so is type: one of them says which prompts are harmful"
        yield from two_judges(self.recogniser, self.people)
        if self.recogniser is None and self.people is None:
            yield (
                "recogniser",
                "is not given: add +guard@evaluation.evaluators.KEY.recogniser=classifier, or let "
                "people recognise refusals: +evaluator@evaluation.evaluators.KEY.people=people",
            )
        if self.people is not None and self.prefix:
            yield (
                "prefix",
                "is given, but people judged responses of the evaluation: set evaluation.prefix",
            )
        yield from no_words(self.recogniser)


def two_judges(recogniser: Any, people: Any) -> Iterator[tuple[str, str]]:
    """What is wrong if a model and people are to recognise refusals."""
    if recogniser is not None and people is not None:
        yield "people", "is given, and so is recogniser: choose who recognises refusals"


def no_words(recogniser: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a recogniser: it looks for words, or at prompts alone."""
    if isinstance(recogniser, ChainConfig):
        for one in recogniser.guards.values():
            yield from no_words(one)
    elif isinstance(recogniser, WordsConfig):
        yield (
            "recogniser",
            "is words, but a refusal is not a word: a policy learns 'sorry' and still complies. "
            "Choose classifier or first_token, or let people recognise refusals",
        )
    elif getattr(recogniser, "checks", None) is Part.prompt:
        yield "recogniser.checks", "is prompt, but refusals are in responses: set it to response"
