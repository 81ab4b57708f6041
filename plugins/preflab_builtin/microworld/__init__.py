"""The embedded world: simulated facts, tasks, texts and people, made from a seed, with a known true utility."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig
    from preflab_builtin.microworld.labelers import SimulatedLabelers
    from preflab_builtin.microworld.source import Microworld


@hookimpl
def preflab_components() -> list[Component]:
    """The world as data, and its people."""
    from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig

    return [
        Component("data", "microworld", MicroworldConfig, build=_world, inspect=_inspect),
        Component("labeler", "simulated", SimulatedConfig, build=_labelers),
    ]


def _world(config: MicroworldConfig, context: Context) -> Microworld:
    from preflab_builtin.microworld.source import Microworld

    return Microworld(config)


def _labelers(config: SimulatedConfig, context: Context) -> SimulatedLabelers:
    from preflab_builtin.microworld.labelers import SimulatedLabelers

    return SimulatedLabelers(config, context.gold)


def _inspect(config: MicroworldConfig) -> Inspection:
    from preflab_builtin.microworld.source import counts

    return Inspection(records=counts(config))
