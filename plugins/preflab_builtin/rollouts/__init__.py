"""Sampling engines: preflab's own, whose rows do not depend on each other, and two of
transformers."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The three engines."""
    from preflab_builtin.rollouts.config import ContinuousConfig, NativeConfig, TransformersConfig

    here = "preflab_builtin.rollouts"
    return [
        Component("rollout", "native", NativeConfig, build=f"{here}.native:native"),
        Component(
            "rollout", "transformers", TransformersConfig, build=f"{here}.generate:transformers"
        ),
        Component(
            "rollout",
            "continuous",
            ContinuousConfig,
            build=f"{here}.continuous:continuous",
            preflight=f"{here}.continuous:preflight",
        ),
    ]
