"""Configs of what is made from a round: people as labelers, as authors, and as judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preflab import option

_ROUND = "name of a round in labels/, or a path with a slash"
FIRST_ROUND = "round-1"


@dataclass
class PeopleConfig:
    """Real people, who rank in a browser (``preflab label RUN``). The run waits until their round
    is closed; what they said is part of the recipe."""

    name: str = option("people", "component")
    round: str = option(FIRST_ROUND, _ROUND, affects_result=False)


@dataclass
class WrittenConfig:
    """Demonstrations that people wrote (``preflab label RUN --task demonstrate``), or the better
    responses that they wrote while ranking."""

    name: str = option("people", "component")
    round: str = option(FIRST_ROUND, _ROUND, affects_result=False)


class Judge(StrEnum):
    """Whose order of responses is compared with people's."""

    none = "none"
    reward = "reward"
    labelers = "labelers"
    gold = "gold"


@dataclass
class ComparedConfig:
    """What people said when they compared the responses of finished runs blindly (``preflab label
    RUN RUN --task compare``)."""

    name: str = option("people", "component")
    round: str = option(
        "", f"{_ROUND}; it must have compared this run's responses", affects_result=False
    )
    versus: str | None = option(
        None,
        "win rates against this run of the round; null: against the evaluation's baseline, or "
        "against the other one of two runs if people did not judge the baseline",
    )
    judge: Judge = option(
        Judge.none,
        "whose order is compared with people's in agreement/people: reward (the run's reward "
        "model), labelers (the run's), gold",
    )

    def measured(self) -> tuple[str, ...]:
        """What people said, as far as they were asked for it; for groups of them too."""
        of_people = ("likert", "length_gap", "over_labelers", "bradley_terry", "agreement")
        rates, agreement = ("win_rate/people", "win_rate/people_*"), ("labelers", "alpha")
        others = [*(f"{what}/people" for what in of_people), *(f"agreement/{a}" for a in agreement)]
        return (*rates, "flags/*", *others)

    def needs(self) -> tuple[str, ...]:
        """What the judge needs."""
        words = {Judge.reward: "reward_model", Judge.labelers: "labeler", Judge.gold: "gold"}
        return (words[self.judge],) if self.judge in words else ()

    def check(self) -> Iterator[tuple[str, str]]:
        """A round must be named: no run compares itself."""
        if not self.round:
            yield (
                "round",
                "is empty: name the round of 'preflab label RUN RUN --task compare --name NAME'",
            )
