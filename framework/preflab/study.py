"""A study: a multirun with named arms, the claims that it decides, and how many seeds it runs. The
report decides the claims, from intervals alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum

from preflab.errors import nearest
from preflab.options import option


@dataclass
class ClaimConfig:
    """A sentence that measures decide: ``arm`` has more (or less) of ``measure`` than ``versus``,
    or than the arms of ``frontier`` where they have as much of ``at`` as it has, or than nothing
    at all. ``arm`` and ``versus`` may name a series of the study: within each seed, the mean over
    its arms."""

    statement: str = option("", "the sentence")
    measure: str = option("", "of the evaluation, for example families/mean")
    arm: str = option("", "name of the arm, or series, that the sentence is about")
    versus: str | None = option(
        None,
        "name of the arm, or series, it is compared with; null and no frontier: the difference is "
        "from zero",
    )
    frontier: list[str] = option(factory=list, doc="instead of versus: arms that make a curve")
    at: str = option(
        "reward/proxy",
        "with frontier: the curve is read where it has the arm's value of this measure",
    )
    more: bool = option(True, "true: the difference is above margin; false: below -margin")
    margin: float = option(0.0, "smallest difference that matters", ge=0)

    def check(self) -> Iterator[tuple[str, str]]:
        """A claim names its measure and arm, and compares with at most one thing."""
        for name in ("statement", "measure", "arm"):
            if not getattr(self, name):
                yield name, "is empty"
        if self.versus is not None and self.frontier:
            yield "versus", "or frontier may be given, not both"


class Verdict(StrEnum):
    """holds: the whole interval is beyond the margin, on the claimed side; fails: the whole
    interval is on the other side of the margin; undecided: neither, which more seeds may change;
    unanswered: there is no estimate, and more seeds alone give none."""

    holds = "holds"
    fails = "fails"
    undecided = "undecided"
    unanswered = "unanswered"


class Until(Enum):
    """decided: until every claim is decided, or there are at_most seeds; at_most: all seeds, and
    one look at the end."""

    decided = "decided"
    at_most = "at_most"


@dataclass
class SeedsConfig:
    """The seeds that a study runs: ``first`` and those that follow it, in blocks. The study looks
    at its claims after each block, and the report corrects their intervals for the looks."""

    at_least: int = option(4, "seeds before the first look", ge=2)
    at_most: int = option(24, "seeds after which the study ends, decided or not", ge=2)
    until: Until = option(Until.decided, "what ends the study")
    block: int = option(4, "seeds that are added between two looks", ge=1)
    first: int = option(1, "the first seed", ge=0)
    claims: list[str] = option(factory=list, doc="claims that must be decided; []: all")

    def check(self) -> Iterator[tuple[str, str]]:
        """The first look is not after the last."""
        if self.at_most < self.at_least:
            yield "at_most", f"is {self.at_most} but must be >= at_least, which is {self.at_least}"

    @property
    def looks(self) -> tuple[int, ...]:
        """How many seeds there are at each look.

        >>> SeedsConfig(at_least=4, at_most=11, block=3).looks
        (4, 7, 10, 11)
        """
        if self.until is Until.at_most:
            return (self.at_most,)
        return (*range(self.at_least, self.at_most, self.block), self.at_most)

    def blocks(self) -> list[range]:
        """The seeds of each block.

        >>> SeedsConfig(at_least=2, at_most=5, block=2, first=7).blocks()
        [range(7, 9), range(9, 11), range(11, 12)]
        """
        ends = [self.first + number for number in self.looks]
        return [range(a, b) for a, b in zip([self.first, *ends], ends, strict=False)]


@dataclass
class SearchConfig:
    """Trials that a study proposes by itself: values of the swept keys, in blocks, each proposed
    from the results of the blocks before it. The seeds of a trial are those that are swept."""

    objective: str = option(
        "", "measure of the evaluation, for example gold/gold; over several seeds, its mean"
    )
    more: bool = option(True, "true: the more, the better; false: the less")
    trials: int = option(24, "how many are tried", ge=1)
    block: int = option(4, "trials that are proposed together", ge=1)
    sampler: str = option("tpe", "what proposes them: a component of the kind sampler")
    seed: int = option(0, "of the proposals", ge=0)

    def check(self) -> Iterator[tuple[str, str]]:
        """A search has an objective."""
        if not self.objective:
            yield "objective", "is empty: name a measure of the evaluation, such as gold/gold"


@dataclass
class StudyConfig:
    """What a study file declares in addition to its arms."""

    title: str = option("", "one line")
    claims: dict[str, ClaimConfig] = option(factory=dict, doc="claims by any name")
    series: dict[str, list[str]] = option(
        factory=dict, doc="arms that pictures join by a line, in order: one knob turned"
    )

    seeds: SeedsConfig | None = option(
        None, "seeds that the study runs by itself; null: those that it sweeps"
    )
    search: SearchConfig | None = option(
        None, "values that the study tries by itself; null: those that it sweeps"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """Every claim is valid, and the claims that seeds are added for are there."""
        for name, claim in self.claims.items():
            yield from ((f"claims.{name}.{key}", message) for key, message in claim.check())
        if self.seeds is None:
            return
        if self.search is not None:
            yield (
                "search",
                "and study.seeds are both there, and a trial has fixed seeds: give "
                "study.seeds=null seed=1,2, or study.search=null",
            )
        for name in self.seeds.claims:
            if name not in self.claims:
                yield "seeds.claims", f"has {name}, which is no claim. {nearest(name, self.claims)}"
        if self.seeds.until is Until.decided and not self.claims:
            yield (
                "seeds.until",
                "is decided, but the study has no claims: declare study.claims, or give "
                "study.seeds.until=at_most",
            )
