"""Config of PPO: what it has beside the options of every on-policy algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from preflab import option
from preflab.memory import Load
from preflab.optimization import OptimizerConfig
from preflab_builtin.on_policy.config import OnPolicyConfig, RatioClipConfig


@dataclass
class AdvantageConfig:
    """Generalised advantage estimation (the paper prints no discount and no lambda)."""

    gamma: float = option(1.0, "discount per token", ge=0, le=1)
    lam: float = option(0.95, "lambda of GAE", ge=0, le=1)
    whiten: bool = option(True, "mean 0, variance 1 over the tokens of the whole rollout batch")


@dataclass
class PPOClipConfig(RatioClipConfig):
    """What is clipped, the value prediction too."""

    value: float | None = option(
        0.2, "how far a value prediction may move from the old one; null: any distance", gt=0
    )


@dataclass
class PPOConfig(OnPolicyConfig):
    """PPO with a per-token KL penalty and a separate value network (InstructGPT 3.5, C.4)."""

    name: str = option("ppo", "component")
    clip: PPOClipConfig = option(factory=PPOClipConfig, doc="clipping")
    advantage: AdvantageConfig = option(factory=AdvantageConfig, doc="advantage estimation")
    value: OptimizerConfig = option(factory=OptimizerConfig, doc="optimizer of the value network")

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """A value network too, which is asked and trained."""
        own = super().load(tokens, records)
        return replace(own, trained=2, passes=own.passes + 1 + 3 * self.epochs)

    def shared(self) -> tuple[str, ...]:
        """The reward model too, from which the value network begins."""
        return (*super().shared(), "reward_model")

    def needs(self) -> tuple[str, ...]:
        """A scalar model too: the value network."""
        return (*super().needs(), "scalar_model")
