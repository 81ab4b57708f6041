"""Algorithms without a value network: several responses per prompt are each other's baseline (RLOO,
GRPO, Dr. GRPO, REINFORCE++)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm; its presets are the published ones."""
    from preflab_builtin.group.config import GroupConfig
    from preflab_builtin.on_policy.component import on_policy_component

    place = "preflab_builtin.group.training:group"
    return [
        on_policy_component(
            "group", GroupConfig, place, preflight="preflab_builtin.group.preflight:preflight"
        )
    ]
