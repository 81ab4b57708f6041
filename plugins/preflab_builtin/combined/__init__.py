"""A reward model made of several: a weighted sum, or an ensemble."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The reward model."""
    from preflab_builtin.combined.config import CombinedConfig

    return [
        Component(
            "reward_model",
            "combined",
            CombinedConfig,
            build="preflab_builtin.combined.scoring:combined",
            procedure="preflab_builtin.combined.training:CombinedTraining",
            nested={"members": "reward_model", "shaping": "reward_shaping"},
        )
    ]
