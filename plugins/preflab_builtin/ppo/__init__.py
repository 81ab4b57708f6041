"""PPO with a per-token KL penalty (InstructGPT 3.5)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.on_policy.config import NESTED
    from preflab_builtin.ppo.config import PPOConfig

    return [
        Component(
            "algorithm",
            "ppo",
            PPOConfig,
            procedure="preflab_builtin.ppo.training:ppo",
            needs=PPOConfig.needs,
            nested=NESTED,
            inspect="preflab_builtin.on_policy.inputs:inspect",
            preflight="preflab_builtin.on_policy.inputs:preflight",
        )
    ]
