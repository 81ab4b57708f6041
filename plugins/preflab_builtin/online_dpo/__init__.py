"""Online DPO: the policy learns from pairs of its own responses that the reward model orders."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.on_policy.config import NESTED
    from preflab_builtin.online_dpo.config import OnlineDPOConfig

    return [
        Component(
            "algorithm",
            "online_dpo",
            OnlineDPOConfig,
            procedure="preflab_builtin.online_dpo.training:online_dpo",
            needs=("prompts", "reward_model"),
            nested=NESTED,
            preflight="preflab_builtin.online_dpo.preflight:preflight",
        )
    ]
