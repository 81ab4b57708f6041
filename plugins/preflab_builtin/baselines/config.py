"""Configs of the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class NoAlgorithmConfig:
    """No reinforcement learning: the SFT policy is the result."""

    name: str = option("none", "component")


@dataclass
class BestOfNConfig:
    """Sample n responses, keep the one with the highest reward: optimisation without training."""

    name: str = option("best_of_n", "component")
    n: int = option(16, "samples a prompt", ge=1, fast=2)
