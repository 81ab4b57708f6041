"""Sampling engines: preflab's own, whose rows do not depend on each other, and transformers'
generate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.rollouts.config import NativeConfig, TransformersConfig
    from preflab_builtin.rollouts.generate import TransformersEngine
    from preflab_builtin.rollouts.native import NativeEngine


@hookimpl
def preflab_components() -> list[Component]:
    """The two engines."""
    from preflab_builtin.rollouts.config import NativeConfig, TransformersConfig

    return [
        Component("rollout", "native", NativeConfig, build=_native),
        Component("rollout", "transformers", TransformersConfig, build=_transformers),
    ]


def _native(config: NativeConfig, context: Context) -> NativeEngine:
    from preflab_builtin.rollouts.native import NativeEngine

    return NativeEngine(config, context.runtime)


def _transformers(config: TransformersConfig, context: Context) -> TransformersEngine:
    from preflab_builtin.rollouts.generate import TransformersEngine

    return TransformersEngine(config, context.runtime)
