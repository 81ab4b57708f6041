"""The plugin door: broken plugins are named and kept away from the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflab import Component, UserError, hookimpl, hookspecs, option, plugins
from preflab.plugins import Plugin, Registry, take_plugin_flags


@dataclass
class Config:
    name: str = option("mine", "component")


def _module(**members: Any) -> ModuleType:
    module = ModuleType("somebody")
    for name, value in members.items():
        setattr(module, name, value)
    return module


def _offering(*components: Component, **more: Any) -> ModuleType:
    @hookimpl
    def preflab_components() -> list[Component]:
        return list(components)

    return _module(preflab_components=preflab_components, **more)


def _registry(**modules: ModuleType) -> Registry:
    registry = Registry()
    registry.manager.add_hookspecs(hookspecs)
    for name, module in modules.items():
        registry.add(Plugin(name, name, f"{name}-dist", "1.0"), module)
    return registry


MINE = Component("algorithm", "mine", Config)


def test_a_component_is_found_by_kind_and_name() -> None:
    registry = _registry(a=_offering(MINE))
    assert registry.component("algorithm", "mine") is MINE
    assert registry.provider("algorithm", "mine").label == "plugin 'a' (a-dist 1.0)"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'mine'"):
        _registry(a=_offering(MINE)).component("algorithm", "mime")


def test_a_taken_name_is_refused_and_the_first_stays() -> None:
    other = Component("algorithm", "mine", Config)
    registry = _registry(a=_offering(MINE), b=_offering(other))
    assert registry.component("algorithm", "mine") is MINE
    assert "plugin 'a' (a-dist 1.0) already provides" in registry.plugins[1].problem


def test_a_misspelt_hook_is_an_error_with_the_nearest_name() -> None:
    @hookimpl
    def preflab_component() -> list[Component]:
        return []

    registry = _registry(a=_module(preflab_component=preflab_component), b=_offering(MINE))
    assert "Did you mean 'preflab_components'" in registry.plugins[0].problem
    assert registry.names("algorithm") == ["mine"]


def test_a_wrong_argument_is_an_error_that_names_it() -> None:
    @hookimpl
    def preflab_step_finished(stage: str, stepp: int) -> None:
        raise AssertionError

    assert "stepp" in _registry(a=_module(preflab_step_finished=preflab_step_finished)).plugins[0].problem


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(3)])
def test_a_registration_hook_that_raises_is_isolated(error: BaseException) -> None:
    @hookimpl
    def preflab_components() -> list[Component]:
        raise error

    registry = _registry(bad=_module(preflab_components=preflab_components), good=_offering(MINE))
    assert "raised in preflab_components" in registry.plugins[0].problem
    assert registry.names("algorithm") == ["mine"]


def test_another_api_version_is_refused() -> None:
    assert "needs plugin API 99" in _registry(a=_offering(MINE, PREFLAB_API=99)).plugins[0].problem


@pytest.mark.parametrize("returned", [None, ["ppo"], 3])
def test_a_wrong_return_value_is_reported(returned: Any) -> None:
    @hookimpl
    def preflab_components() -> Any:
        return returned

    assert "must be a list of Component" in _registry(a=_module(preflab_components=preflab_components)).plugins[0].problem


def test_an_unusable_name_is_refused() -> None:
    assert "unusable name" in _registry(a=_offering(Component("algorithm", "../x", Config))).plugins[0].problem


def test_an_observer_that_raises_is_switched_off_and_named() -> None:
    calls: list[str] = []

    def observer(name: str, fails: bool) -> ModuleType:
        @hookimpl
        def preflab_step_finished(step: int) -> None:
            calls.append(name)
            if fails:
                raise ValueError("full")

        return _module(preflab_step_finished=preflab_step_finished)

    registry = _registry(bad=observer("bad", True), good=observer("good", False))
    arguments = {"stage": "sft", "step": 1, "metrics": {}}
    with pytest.warns(UserWarning, match=r"plugin 'bad' \(bad-dist 1.0\) raised in preflab_step_finished"):
        registry.observe("preflab_step_finished", **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.observe("preflab_step_finished", **arguments)
    assert sorted(calls) == ["bad", "good", "good"]


def test_plugin_flags_leave_the_command_line_and_reach_workers() -> None:
    rest, variables = take_plugin_flags(["-m", "--plugin=a.py", "seed=1,2", "--no-plugin", "x"], {"PREFLAB_NO_PLUGINS": "y"})
    assert rest == ["-m", "seed=1,2"]
    assert variables == {"PREFLAB_PLUGIN_FILES": str(Path("a.py").resolve()), "PREFLAB_NO_PLUGINS": "y,x"}
    with pytest.raises(UserError, match="--plugin needs a value"):
        take_plugin_flags(["--plugin"])


def test_a_file_is_a_plugin_and_a_broken_file_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "good_plugin.py", tmp_path / "bad_plugin.py"
    good.write_text(
        "from dataclasses import dataclass\nfrom preflab import Component, hookimpl, option\n\n\n@dataclass\nclass C:\n"
        "    name: str = option('from_file', 'component')\n\n\n@hookimpl\ndef preflab_components():\n"
        "    return [Component('algorithm', 'from_file', C)]\n"
    )
    bad.write_text("import does_not_exist_anywhere\n")
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", f"{good}:{bad}:{tmp_path / 'absent.py'}")
    registry = plugins.load()
    assert "from_file" in registry.names("algorithm")
    problems = {p.name: p.problem for p in registry.plugins}
    assert "No module named 'does_not_exist_anywhere'" in problems["bad_plugin"]
    assert "there is no such Python file" in problems["absent"]


def test_a_plugin_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_NO_PLUGINS", "ppo")
    registry = plugins.load()
    assert "ppo" not in registry.names("algorithm")
    assert next(p for p in registry.plugins if p.name == "ppo").problem == "left out by --no-plugin"


def test_every_built_in_plugin_loads() -> None:
    assert {p.name: p.problem for p in plugins.load().plugins if p.problem} == {}
