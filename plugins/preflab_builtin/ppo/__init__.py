"""PPO with a per-token KL penalty (InstructGPT 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.ppo.config import PPOConfig
    from preflab_builtin.ppo.training import PPO


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.ppo.config import PPOConfig

    needs = ("prompts", "reward_model")
    nested = {"terms": "gradient_term", "shaping": "reward_shaping"}
    return [
        Component(
            "algorithm",
            "ppo",
            PPOConfig,
            procedure=_procedure,
            needs=lambda config: needs,
            nested=nested,
        )
    ]


def _procedure(config: PPOConfig, context: Context) -> PPO:
    from preflab_builtin.ppo.training import PPO

    return PPO(config, context)
