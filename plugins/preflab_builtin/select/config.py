"""Configs of selection."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class LastConfig:
    """The last SFT checkpoint goes on."""

    name: str = option("last", "component")


@dataclass
class RewardSelectionConfig:
    """The SFT checkpoint whose samples score highest goes on."""

    name: str = option("reward_model", "component")
    prompts: int = option(200, "validation prompts, one sample each a checkpoint", ge=1, fast=4)
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")
