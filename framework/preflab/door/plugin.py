"""One plugin as it was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from preflab.components import Component
from preflab.kinds import StageSpec


@dataclass(frozen=True)
class Plugin:
    """One plugin as found: its entry-point name, where it comes from, and what is wrong with it
    ("" if nothing)."""

    name: str
    module: str
    distribution: str
    version: str
    problem: str = ""
    hooks: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    stages: tuple[StageSpec, ...] = ()
    config_packages: tuple[str, ...] = ()
    commands: tuple[Callable[[list[str]], int], ...] = ()
    states_api: bool = True
    """Whether its module says which API it is made for (PREFLAB_API)."""

    @property
    def built_in(self) -> bool:
        """Whether it comes with preflab itself."""
        return self.distribution == "preflab"

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"plugin '{self.name}' ({self.distribution} {self.version})"
