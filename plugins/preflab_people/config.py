"""Configs of what is made from a round: people as labelers and as authors."""

from __future__ import annotations

from dataclasses import dataclass

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
