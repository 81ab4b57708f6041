"""Config of expert iteration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from preflab import option
from preflab_builtin.on_policy.config import OnPolicyConfig, whole_groups


@dataclass
class ExpertIterationConfig(OnPolicyConfig):
    """Sample several responses per prompt, keep the one with the highest reward less coefficient
    times KL, fine-tune on it, iterate (Dong et al. 2023, RAFT, arXiv 2304.06767). With one
    iteration it is the distillation of best-of-n."""

    name: str = option("expert_iteration", "component")
    samples: int = option(8, "responses per prompt, of which one is kept", ge=2, fast=4)

    def check(self) -> Iterator[tuple[str, str]]:
        """What every on-policy algorithm checks, and that prompts are not divided."""
        yield from OnPolicyConfig.check(self)
        yield from whole_groups(self, self.samples)
