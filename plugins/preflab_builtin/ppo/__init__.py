"""PPO with a per-token KL penalty (InstructGPT 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.on_policy.component import on_policy_component
    from preflab_builtin.ppo.config import PPOConfig

    place = "preflab_builtin.ppo.training:ppo"
    return [on_policy_component("ppo", PPOConfig, place)]
