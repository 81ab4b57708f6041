"""Configs of the baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from preflab import option
from preflab.optimization import OptimizerConfig


@dataclass
class NoAlgorithmConfig:
    """No reinforcement learning: the SFT policy is the result."""

    name: str = option("none", "component")


@dataclass
class BestOfNConfig:
    """Sample n responses, keep the one with the highest reward: optimisation without training."""

    name: str = option("best_of_n", "component")
    n: int = option(16, "samples a prompt", ge=1, fast=2)


@dataclass
class TermsOnlyConfig:
    """The gradient terms of an algorithm without the algorithm, for as many optimizer steps: what they do by themselves."""

    name: str = option("terms_only", "component")
    episodes: int = option(
        256_000, "of the algorithm that this is the control of; none is sampled", ge=1, fast=16
    )
    batch: int = option(
        512, "its episodes an iteration: the schedule moves once for so many", ge=1, fast=8
    )
    minibatch: int = option(64, "its episodes an optimizer step", ge=1, fast=4)
    policy: OptimizerConfig = option(factory=OptimizerConfig, doc="optimizer of the policy")
    terms: dict[str, Any] = option(factory=dict, doc="gradient terms, for example ptx")
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to do."""
        if self.minibatch > self.batch or self.batch % self.minibatch:
            yield "minibatch", f"is {self.minibatch} but must divide batch ({self.batch})"
        if self.episodes < self.batch:
            yield "episodes", f"is {self.episodes} but must be at least batch ({self.batch})"
        if not any(getattr(term, "coef", 1) for term in self.terms.values()):
            yield (
                "terms",
                "is empty, or every coef is 0: nothing would be trained; add one, or choose algorithm=none",
            )
