"""Selection: the SFT checkpoint that is used (InstructGPT C.1: that with the best reward-model
score)."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.components import keeps_none


@hookimpl
def preflab_components() -> list[Component]:
    """The last checkpoint, or the best by reward."""
    from preflab_builtin.select.config import LastConfig, RewardSelectionConfig

    return [
        Component("select", "last", LastConfig),
        Component(
            "select",
            "reward_model",
            RewardSelectionConfig,
            procedure="preflab_builtin.select.selection:RewardSelection",
            needs=("prompts:validation", "reward_model"),
            preflight="preflab_builtin.select.selection:preflight",
            checkpoint=keeps_none,
        ),
    ]
