"""The embedded world: simulated facts, tasks, texts and people, made from a seed, with a known true
utility."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, hookimpl
from preflab.components import Inspection

if TYPE_CHECKING:
    from preflab_builtin.microworld.config import SimulatedConfig


@hookimpl
def preflab_components() -> list[Component]:
    """The world as data, its people, and what only a world with known people can measure."""
    from preflab_builtin.microworld import config as c

    here = "preflab_builtin.microworld"
    source, tasks = f"{here}.source", f"{here}.task_demonstrations"
    return [
        Component(
            "data",
            "microworld",
            c.MicroworldConfig,
            build=f"{source}:Microworld",
            inspect=f"{source}:inspect",
        ),
        Component(
            "data",
            "task_demonstrations",
            c.TaskDemonstrationsConfig,
            build=f"{tasks}:TaskDemonstrations",
            inspect=f"{tasks}:inspect",
            preflight=f"{here}.preflight:same_world",
        ),
        Component(
            "data",
            "values",
            c.ValuesConfig,
            build=f"{here}.values:Values",
            inspect=f"{here}.values:inspect",
            preflight=f"{here}.preflight:same_world",
        ),
        Component(
            "labeler",
            "simulated",
            c.SimulatedConfig,
            build=f"{here}.labelers:people_of",
            needs=("gold",),
            inspect=_people,
        ),
        Component(
            "evaluator",
            "ratings",
            c.RatingsConfig,
            build=f"{here}.ratings:Ratings",
            needs=("labeler:any",),
            preflight=f"{here}.ratings:preflight",
        ),
        Component(
            "evaluator",
            "labeler_groups",
            c.LabelerGroupsConfig,
            build=f"{here}.generalisation:LabelerGroups",
            needs=("rankings:validation", "reward_model", "labeler:any"),
            preflight=f"{here}.generalisation:preflight",
        ),
    ]


def _people(config: SimulatedConfig) -> Inspection:
    return Inspection(unrated="" if config.ratings else "set labeler.ratings=true")
