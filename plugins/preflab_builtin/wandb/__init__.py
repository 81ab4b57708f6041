"""The tracker ``wandb``: a run in Weights & Biases."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The tracker."""
    from preflab_builtin.wandb.config import WandbConfig

    here = "preflab_builtin.wandb"
    build, inspect = f"{here}.writer:WandbRun", f"{here}.config:inspect"
    return [Component("tracker", "wandb", WandbConfig, build=build, inspect=inspect)]
