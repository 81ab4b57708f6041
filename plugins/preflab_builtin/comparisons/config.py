"""Configs of the comparisons stage."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class SampledConfig:
    """Samples of the SFT policy, ranked by the run's labelers."""

    name: str = option("sampled", "component")
    prompts: int = option(900, "training prompts (at most those there are)", ge=1, fast=12)
    validation_prompts: int = option(100, "validation prompts", ge=0, fast=4)
    k: int = option(4, "K, responses a prompt (InstructGPT: 4 to 9)", ge=2, fast=3)
    batch: int = option(100, "prompts a step", ge=1, fast=8)
    temperature: float = option(1.0, "of the samples", gt=0)
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")


@dataclass
class NoComparisonsConfig:
    """No comparisons are made: the data gives rankings, or nobody needs any."""

    name: str = option("none", "component")


@dataclass
class NoLabelerConfig:
    """Nobody labels."""

    name: str = option("none", "component")
