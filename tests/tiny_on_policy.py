"""Algorithms without a value network on a dozen prompts with a tiny policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from preflab.interfaces import Context, RewardModel
from preflab.optimization import OptimizerConfig, Schedule
from preflab.options import problems
from preflab.rewards import FunctionReward
from preflab_builtin.expert_iteration.config import ExpertIterationConfig
from preflab_builtin.expert_iteration.training import expert_iteration
from preflab_builtin.group.config import GroupConfig, GroupKLConfig
from preflab_builtin.group.training import group
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.online_dpo.config import OnlineDPOConfig
from preflab_builtin.online_dpo.training import online_dpo
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from support import FakeContext, cpu_runtime
from tiny_ppo import DOCUMENTS, PROMPTS

ALGORITHMS: dict[str, tuple[type[Any], Callable[[Any, Context], OnPolicy]]] = {
    "group": (GroupConfig, group),
    "expert_iteration": (ExpertIterationConfig, expert_iteration),
    "online_dpo": (OnlineDPOConfig, online_dpo),
}


def tiny(
    name: str,
    folder: Path,
    micro_batch: int = 64,
    reward: RewardModel | None = None,
    **options: Any,
) -> OnPolicy:
    """An algorithm with 4 prompts of 4 responses an iteration, 2 prompts an optimizer step."""
    config_class, build = ALGORITHMS[name]
    kl = GroupKLConfig if name == "group" else KLPenaltyConfig
    values: dict[str, Any] = {
        "episodes": 64,
        "batch": 16,
        "minibatch": 8,
        "samples": 4,
        "kl": kl(coef=0.1),
        "policy": OptimizerConfig(lr=3e-3, schedule=Schedule.constant),
        **options,
    }
    config = config_class(**values)
    assert not list(problems(config))
    engine = NativeEngine(NativeConfig(max_tokens=6), cpu_runtime())
    context = FakeContext(
        folder,
        [*PROMPTS, *DOCUMENTS],
        micro_batch=micro_batch,
        reward=reward or FunctionReward(noise_reward(0)),
        engine=engine,
    )
    return build(config, context)
