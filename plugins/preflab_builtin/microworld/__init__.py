"""The embedded world: simulated facts, tasks, texts and people, made from a seed, with a known true utility."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.microworld.config import (
        LabelerGroupsConfig,
        MicroworldConfig,
        RatingsConfig,
        SimulatedConfig,
        TaskDemonstrationsConfig,
    )
    from preflab_builtin.microworld.generalisation import LabelerGroups
    from preflab_builtin.microworld.labelers import SimulatedLabelers
    from preflab_builtin.microworld.ratings import Ratings
    from preflab_builtin.microworld.source import Microworld
    from preflab_builtin.microworld.task_demonstrations import TaskDemonstrations


@hookimpl
def preflab_components() -> list[Component]:
    """The world as data, its people, and what only a world with known people can measure."""
    from preflab_builtin.microworld import config as c

    needs = ("rankings", "reward_model", "labeler")

    return [
        Component("data", "microworld", c.MicroworldConfig, build=_world, inspect=_inspect),
        Component(
            "data",
            "task_demonstrations",
            c.TaskDemonstrationsConfig,
            build=_tasks,
            inspect=_count_tasks,
        ),
        Component(
            "labeler",
            "simulated",
            c.SimulatedConfig,
            build=_labelers,
            needs=lambda config: ("gold",),
        ),
        Component(
            "evaluator",
            "ratings",
            c.RatingsConfig,
            build=_ratings,
            needs=lambda config: ("labeler",),
        ),
        Component(
            "evaluator",
            "labeler_groups",
            c.LabelerGroupsConfig,
            build=_groups,
            needs=lambda config: needs,
        ),
    ]


def _world(config: MicroworldConfig, context: Context) -> Microworld:
    from preflab_builtin.microworld.source import Microworld

    return Microworld(config)


def _labelers(config: SimulatedConfig, context: Context) -> SimulatedLabelers:
    from preflab_builtin.microworld.labelers import SimulatedLabelers

    return SimulatedLabelers(config, context.gold)


def _inspect(config: MicroworldConfig) -> Inspection:
    from preflab_builtin.microworld.source import counts

    return Inspection(records=counts(config), gold=True)


def _tasks(config: TaskDemonstrationsConfig, context: Context) -> TaskDemonstrations:
    from preflab_builtin.microworld.task_demonstrations import TaskDemonstrations

    return TaskDemonstrations(config)


def _count_tasks(config: TaskDemonstrationsConfig) -> Inspection:
    return Inspection(records={"demonstrations": config.demonstrations})


def _ratings(config: RatingsConfig, context: Context) -> Ratings:
    from preflab_builtin.microworld.ratings import Ratings

    return Ratings(context)


def _groups(config: LabelerGroupsConfig, context: Context) -> LabelerGroups:
    from preflab_builtin.microworld.generalisation import LabelerGroups

    return LabelerGroups(context)
