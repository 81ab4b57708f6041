"""A stage of its own: the average of the weights before and after SFT (Wortsman et al. 2022).

Averaging gives back some of what fine-tuning forgets (Lin et al. 2024, arXiv 2309.06256).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from preflab.interfaces import Context, State

from preflab_pairs.config import AverageConfig


class Averaging:
    """`preflab.interfaces.Procedure` of one step; its result has the role "averaged"."""

    total_steps = 1

    def __init__(self, config: AverageConfig, context: Context) -> None:
        self.config = config
        self.before = context.policy("base")
        self.policy = context.policy("sft")

    def step(self, index: int) -> Mapping[str, float]:
        """Move every weight towards its value before SFT. distance: norm of that move."""
        squares = 0.0
        old = dict(self.before.module.named_parameters())
        with torch.no_grad():
            for name, weight in self.policy.module.named_parameters():
                move = (1 - self.config.share) * (old[name] - weight)
                weight += move
                squares += float(torch.sum(move.double() ** 2))
        return {"average/distance": squares**0.5}

    def state_dict(self) -> State:
        """The averaged weights."""
        return {"policy": self.policy.module.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Resume from a state."""
        self.policy.module.load_state_dict(state["policy"])

    def save(self, folder: Path) -> None:
        """The policy, as a transformers folder."""
        self.policy.save(folder / "model")
