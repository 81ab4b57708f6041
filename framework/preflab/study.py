"""A study: a multirun with named arms, and the claims that it decides. The report decides them,
from intervals alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass
class StudyConfig:
    """What a study file declares in addition to its arms."""

    title: str = option("", "one line")
    claims: dict[str, ClaimConfig] = option(factory=dict, doc="claims by any name")
    series: dict[str, list[str]] = option(
        factory=dict, doc="arms that pictures join by a line, in order: one knob turned"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """Every claim is valid."""
        for name, claim in self.claims.items():
            yield from ((f"claims.{name}.{key}", message) for key, message in claim.check())
