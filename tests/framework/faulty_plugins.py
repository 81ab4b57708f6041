"""Plugins with faults, for tests: their source, and how it is installed, loaded or registered."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab import hookspecs
from preflab.door import discovery
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry

HOOKS = {n: inspect.signature(f) for n, f in vars(hookspecs).items() if n.startswith("preflab_")}
REGISTRATION = (
    "preflab_components",
    "preflab_stages",
    "preflab_config_packages",
    "preflab_commands",
)
OBSERVERS = hookspecs.OBSERVER_HOOKS
ASKED_AT_A_RUN = (
    "preflab_observers",
    "preflab_report",
    "preflab_verdicts",
    "preflab_seeds_needed",
)
REPRESENTATIVES = 3
HEAD = "from preflab import hookimpl\n"
RAISED = ("ValueError('full')", "SystemExit(3)", "BaseException('odd')")
RETURNED = ("None", "3", "float('nan')", "[3]", "'text'")
SCHEMA = """
from dataclasses import dataclass
from preflab import Component, hookimpl


@dataclass
class C:
    name: str = '{name}'
    thing: {type} = {default}


@hookimpl
def preflab_components():
    return {returned}
"""
ONE = "[Component('algorithm', 'mine', C)]"


def crossed(hooks: Sequence[str], faults: Sequence[str] = ("",)) -> list[Any]:
    """Parameters (hook, fault), or hooks alone: all pairs, of which three for each fault are not
    left to ``make reliability``."""
    short = min(REPRESENTATIVES, len(hooks))
    kept = {
        (hooks[(i + j) % len(hooks)], fault) for j, fault in enumerate(faults) for i in range(short)
    }
    pairs = [(hook, fault) for hook in hooks for fault in faults]
    marks = {pair: () if pair in kept else pytest.mark.reliability for pair in pairs}
    return [pytest.param(*(pair if any(faults) else pair[:1]), marks=marks[pair]) for pair in pairs]


def install(
    folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch | None = None
) -> None:
    """A distribution by its metadata alone: a module, a dist-info folder with an entry point."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}_dist-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[preflab]\n{name} = {name}\n")
    if monkeypatch:
        monkeypatch.syspath_prepend(str(folder))


def load(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, Plugin]:
    install(folder, "faulty", source, monkeypatch)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    registry = discovery.load()
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    return registry, next(p for p in registry.plugins if p.name == "faulty")


def reported(registry: Registry, plugin: Plugin, *messages: str) -> None:
    assert plugin.label == "plugin 'faulty' (faulty-dist 2.5)"
    assert all(message in plugin.problem for message in messages), plugin.problem
    assert [p.name for p in registry.plugins if p.problem] == ["faulty"]  # the others are used
    assert "ppo" in registry.names("algorithm")
    assert registry.provider("algorithm", "ppo").distribution == "preflab"
    assert not registry.manager.has_plugin("faulty")


def written_hook(name: str, arguments: str, body: str) -> str:
    return f"\n\n@hookimpl\ndef {name}({arguments}):\n    {body}\n"


def registered(registry: Registry, name: str, source: str) -> types.ModuleType:
    """A module of that source, registered as a plugin without being installed."""
    module = types.ModuleType(name)
    exec(HEAD + source, vars(module))
    plugin = Plugin(name, name, f"{name}-dist", "2.5")
    registry.add(plugin, module)
    assert not registry.plugins[-1].problem
    return module
