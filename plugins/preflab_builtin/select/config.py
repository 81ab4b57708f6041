"""Configs of selection."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class LastConfig:
    """The last SFT checkpoint is used."""

    name: str = option("last", "component")


@dataclass
class RewardSelectionConfig:
    """The SFT checkpoint whose samples score highest is used (InstructGPT C.1: by reward-model
    score, not by validation loss)."""

    name: str = option("reward_model", "component")
    prompts: int = option(
        200, "validation prompts, one sample of each per checkpoint", ge=1, fast=4
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")
