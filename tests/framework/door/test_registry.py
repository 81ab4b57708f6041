"""What plugins offer, by kind and name."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import pytest

from preflab import Component, UserError, hookimpl, option
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry


@dataclass
class Config:
    name: str = option("mine", "component")


def _offering(component: Component) -> Registry:
    """A registry whose one plugin offers a component."""

    @hookimpl
    def preflab_components() -> list[Component]:
        return [component]

    module = ModuleType("somebody")
    vars(module)["preflab_components"] = preflab_components
    registry = Registry()
    registry.add(Plugin("a", "a", "a-dist", "1.0"), module)
    return registry


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'mine'"):
        _offering(Component("algorithm", "mine", Config)).component("algorithm", "mime")


def test_an_unusable_name_is_refused() -> None:
    assert "unusable name" in _offering(Component("algorithm", "../x", Config)).plugins[0].problem
