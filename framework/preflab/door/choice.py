"""One component as a run chose it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from preflab.components import Component
from preflab.door.plugin import Plugin


@dataclasses.dataclass(frozen=True)
class Choice:
    """One component as a run chose it: its typed config, who provides it, and its nested choices
    by field."""

    key: str
    component: Component
    plugin: Plugin
    config: Any
    nested: tuple[Choice, ...] = ()

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    def all(self) -> Iterator[Choice]:
        """Itself and everything nested in it."""
        yield self
        for choice in self.nested:
            yield from choice.all()
