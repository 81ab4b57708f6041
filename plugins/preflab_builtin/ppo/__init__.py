"""PPO with a per-token KL penalty (InstructGPT 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.ppo.config import PPOConfig

    return [
        Component(
            "algorithm",
            "ppo",
            PPOConfig,
            procedure="preflab_builtin.ppo.training:PPO",
            needs=("prompts", "reward_model"),
            nested={"terms": "gradient_term", "shaping": "reward_shaping"},
        )
    ]
