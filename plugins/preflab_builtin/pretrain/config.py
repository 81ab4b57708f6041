"""Config of the pretraining stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from preflab import option
from preflab.memory import Load
from preflab.optimization import OptimizerConfig


@dataclass
class PretrainConfig:
    """Language modelling on documents. One optimizer step reads batch * window tokens."""

    name: str = option("documents", "component")
    steps: int = option(1000, "optimizer steps", ge=1, fast=3)
    batch: int = option(16, "windows in an optimizer step", ge=1, fast=2)
    window: int = option(64, "tokens in a window", ge=2)
    optimizer: OptimizerConfig = option(
        factory=lambda: OptimizerConfig(lr=2e-3, warmup=50), doc="AdamW and its schedule"
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's", ge=0)

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """One network that is trained on windows (`preflab.memory.Load`)."""
        return Load(1, self.batch, self.window, passes=3, steps=self.steps)
