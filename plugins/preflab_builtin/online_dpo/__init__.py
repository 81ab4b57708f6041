"""Online DPO: the policy learns from pairs of its own responses that the reward model orders."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.on_policy.component import on_policy_component
    from preflab_builtin.online_dpo.config import OnlineDPOConfig

    place = "preflab_builtin.online_dpo.training:online_dpo"
    return [
        on_policy_component(
            "online_dpo",
            OnlineDPOConfig,
            place,
            preflight="preflab_builtin.online_dpo.preflight:preflight",
        )
    ]
