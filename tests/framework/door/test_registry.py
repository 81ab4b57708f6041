"""What plugins offer, by kind and name."""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from preflab import Component, UserError, hookimpl, option
from preflab.door.plugin import Plugin
from preflab.door.registry import ELSEWHERE, Registry


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


def test_what_is_installed_by_itself_comes_with_the_command() -> None:
    with pytest.raises(UserError, match=r"pip install \./plugins/preflab-vllm in a clone"):
        Registry().component("rollout", "vllm")
    broken = Registry([Plugin("vllm", "preflab_vllm", "preflab-vllm", "0.1.0", "cannot be read")])
    with pytest.raises(UserError, match="Not loaded: plugin 'vllm'") as refused:
        broken.component("rollout", "vllm")
    assert "pip install" not in str(refused.value)  # it is


def test_every_distribution_beside_ours_is_known() -> None:
    """ELSEWHERE says what the distributions in plugins/ offer, by their own words."""
    offered: dict[tuple[str, str], str] = {}
    for about in (Path(__file__).parents[3] / "plugins").glob("*/pyproject.toml"):
        project = tomllib.loads(about.read_text(encoding="utf8"))["project"]
        assert project["name"] == about.parent.name  # which the command names as a folder
        for module in project["entry-points"]["preflab"].values():
            components = importlib.import_module(module).preflab_components()
            offered |= {(c.kind, c.name): project["name"] for c in components}
    assert offered == ELSEWHERE


def test_an_unusable_name_is_refused() -> None:
    assert "unusable name" in _offering(Component("algorithm", "../x", Config)).plugins[0].problem
