"""One component as a run chose it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from preflab.components import Component, Inspection
from preflab.door.blame import blamed
from preflab.door.registry import Plugin
from preflab.errors import PluginError


@dataclasses.dataclass(frozen=True)
class Choice:
    """One component as a run chose it: its typed config, who provides it, and its nested choices by field."""

    key: str
    component: Component
    plugin: Plugin
    config: Any
    nested: tuple[Choice, ...] = ()

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    def needs(self) -> set[str]:
        """What it and its nested components need, in the words of `Component.needs`."""
        with blamed(self):
            own = set(self.component.needs(self.config))
        return own.union(*(choice.needs() for choice in self.nested))

    def inspect(self) -> Inspection:
        """What its outside inputs are."""
        with blamed(self):
            found = self.component.inspect(self.config)
        if not isinstance(found, Inspection):
            raise PluginError(
                f"{self.component.kind} '{self.name}' of {self.plugin.label}: inspect returned {found!r}"
            )
        return found

    def all(self) -> Iterator[Choice]:
        """Itself and everything nested in it."""
        yield self
        for choice in self.nested:
            yield from choice.all()
