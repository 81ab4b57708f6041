"""Config of the comparisons stage."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class RankedConfig:
    """The responses of the samples stage, ranked by the run's labelers."""

    name: str = option("ranked", "component")
    batch: int = option(100, "prompts per step", ge=1, fast=8)
    seed: int | None = option(
        None, "pins the labelers' draw (who is asked, their noise); null follows the run's seed"
    )
