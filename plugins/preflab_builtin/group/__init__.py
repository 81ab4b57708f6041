"""Algorithms without a value network: several responses per prompt are each other's baseline (RLOO,
GRPO, Dr. GRPO, REINFORCE++)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm; its presets are the published ones."""
    from preflab_builtin.group.config import GroupConfig
    from preflab_builtin.on_policy.config import NESTED

    return [
        Component(
            "algorithm",
            "group",
            GroupConfig,
            procedure="preflab_builtin.group.training:group",
            needs=GroupConfig.needs,
            nested=NESTED,
            inspect="preflab_builtin.on_policy.inputs:inspect",
            preflight="preflab_builtin.group.preflight:preflight",
        )
    ]
