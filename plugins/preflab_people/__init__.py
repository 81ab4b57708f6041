"""People in the loop: real labelers rank responses, write demonstrations and compare runs in a
browser (InstructGPT, appendix B). Needs the extra ``label`` only where a store is opened or a
server started; everything else of preflab stays free of it."""

from __future__ import annotations

from collections.abc import Callable

from preflab import Component, hookimpl
from preflab_people import config as c
from preflab_people.commands import label

PREFLAB_API = 1


@hookimpl
def preflab_components() -> list[Component]:
    """People who rank, who judge finished runs, and who write."""
    return [
        Component(
            "labeler",
            "people",
            c.PeopleConfig,
            build="preflab_people.labeler:People",
            inspect="preflab_people.labeler:inspect",
        ),
        Component(
            "evaluator",
            "people",
            c.ComparedConfig,
            build="preflab_people.evaluator:Compared",
            needs=c.ComparedConfig.needs,
            inspect="preflab_people.evaluator:inspect",
        ),
        Component(
            "data",
            "people",
            c.WrittenConfig,
            build="preflab_people.written:Written",
            inspect="preflab_people.written:inspect",
        ),
    ]


@hookimpl
def preflab_config_packages() -> list[str]:
    """Where the YAML presets are."""
    return ["preflab_people.conf"]


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab label."""
    return [label]
