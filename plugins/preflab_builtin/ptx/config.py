"""Config of the ptx gradient term."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option
from preflab.memory import Load


@dataclass
class PtxConfig:
    """coef * gradient of the pretraining loss, added to each optimizer step of an algorithm
    (InstructGPT C.4)."""

    name: str = option("ptx", "component")
    coef: float = option(
        27.8, "gamma, weight of the pretraining gradient; 0: the term is not built", ge=0
    )
    ratio: float = option(8.0, "pretraining windows per episode (InstructGPT: 8)", gt=0, fast=1)
    window: int = option(64, "tokens in a pretraining window", ge=2, fast=16)
    micro_batch: int | None = option(
        None, "windows in one forward pass; null: runtime.micro_batch", ge=1, affects_result=False
    )

    def windows(self, episodes: int) -> int:
        """Windows of an optimizer step on so many episodes."""
        return max(1, round(self.ratio * episodes))

    def load(self, episodes: int, updates: int) -> Load:
        """A pass over the windows of an optimizer step, of which there are ``updates``; all tokens
        are scored (`preflab_builtin.training.terms`)."""
        windows = self.windows(episodes)
        rows = min(windows, self.micro_batch or windows)
        return Load(1, rows, self.window, passes=3, batch=windows * updates)
