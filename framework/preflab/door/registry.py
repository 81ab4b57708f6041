"""Plugins that were found: checked, kept apart when broken, and what they provide."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pluggy

from preflab.components import Component
from preflab.door import checking
from preflab.door.plugin import Plugin as Plugin
from preflab.door.watching import watched
from preflab.errors import PluginError, StorageError, UserError, nearest
from preflab.kinds import NoneConfig, StageGraph, StageSpec
from preflab.signals import Stopped
from preflab.storage.durable import disk_error
from preflab.version import __version__

OWN_COMMANDS = ("plan", "plugins", "doctor", "artifacts", "report", "rerun", "new-plugin")


@dataclass
class Registry:
    """What the loaded plugins provide, and the plugins that could not be used."""

    plugins: list[Plugin] = field(default_factory=list)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager("preflab"))
    stage_graph: StageGraph = field(default_factory=StageGraph)
    """All stages in the order of making: preflab's own and those of plugins."""
    _components: dict[tuple[str, str], tuple[Component, Plugin]] = field(default_factory=dict)
    _modules: dict[str, ModuleType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._offer_none()

    def _offer_none(self) -> None:
        """The component ``none`` of every optional kind."""
        framework = Plugin("preflab", NoneConfig.__module__, "preflab", __version__)
        for kind in self.stage_graph.optional_kinds:
            none = Component(kind, "none", NoneConfig)
            self._components.setdefault((kind, "none"), (none, framework))

    def names(self, kind: str) -> list[str]:
        """Names of the components of a kind."""
        return sorted(name for k, name in self._components if k == kind)

    def component(self, kind: str, name: str) -> Component:
        """The component of a kind and name; `UserError` with the nearest name if there is none."""
        return self._find(kind, name)[0]

    def provider(self, kind: str, name: str) -> Plugin:
        """The plugin that provides a component."""
        return self._find(kind, name)[1]

    def _find(self, kind: str, name: str) -> tuple[Component, Plugin]:
        if (kind, name) in self._components:
            return self._components[kind, name]
        raise UserError(
            f"There is no {kind} called '{name}'. "
            f"{nearest(name, self.names(kind))}{self.not_loaded()}"
        )

    def not_loaded(self) -> str:
        """What to add to a message that something is not there: the plugins that were not loaded,
        and why."""
        return "".join(f"\nNot loaded: {p.label}: {p.problem}" for p in self.plugins if p.problem)

    def components(self) -> Iterator[tuple[Component, Plugin]]:
        """All components with their plugins, by kind and name."""
        for key in sorted(self._components):
            yield self._components[key]

    def config_packages(self) -> Iterator[tuple[str, str]]:
        """(plugin name, package of YAML presets)."""
        for plugin in self.plugins:
            for package in plugin.config_packages:
                yield plugin.name, package

    def commands(self) -> dict[str, tuple[Callable[[list[str]], int], Plugin]]:
        """Commands of plugins by name, each with its plugin."""
        return {command_name(f): (f, plugin) for plugin in self.plugins for f in plugin.commands}

    def observe(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook of every plugin; one that raises is switched off with a warning
        that names it."""
        for plugin, call in self._implementations(hook, arguments):
            try:
                with watched(plugin.label, hook):
                    call()
            except BaseException as error:
                if isinstance(error, (KeyboardInterrupt, Stopped)):
                    raise
                self.manager.unregister(name=plugin.name)
                message = f"{plugin.label} raised in {hook} and is switched off for this run: {type(error).__name__}: {error}"
                warnings.warn(message, stacklevel=2)

    def report(self, folders: Sequence[Path], out: Path) -> str:
        """The comparison of runs; "" if no plugin makes one. The first plugin in the order of
        loading that gives a text makes it, the built-in one before others (leave it out with
        ``--no-plugin report``); the text ends with whose it is if it is not preflab's. One that
        raises, or returns no text, is passed over with a warning that names it; `PluginError` if
        there is no other. What is wrong with the runs or the disk is raised as it is."""
        hook, failed = "preflab_report", []
        for plugin, call in reversed(
            list(self._implementations(hook, {"folders": list(folders), "out": out}))
        ):
            try:
                with watched(plugin.label, hook):
                    text = call()
            except BaseException as error:
                if isinstance(
                    error, (UserError, StorageError, KeyboardInterrupt, Stopped)
                ) or disk_error(error):
                    raise
                failed.append(f"{plugin.label} raised in {hook}: {type(error).__name__}: {error}")
                continue
            if isinstance(text, str) and text:
                for message in failed:
                    warnings.warn(message, stacklevel=2)
                return (
                    text
                    if plugin.distribution == "preflab"
                    else f"{text}\n(This report is by {plugin.label}.)"
                )
            if text is not None:
                failed.append(f"{plugin.label} returned {text!r} from {hook}, which must be a text")
        if failed:
            raise PluginError("\n".join(failed))
        return ""

    def _implementations(
        self, hook: str, arguments: Mapping[str, Any]
    ) -> Iterator[tuple[Plugin, Callable[[], Any]]]:
        """Each plugin that has the hook, the one loaded last first, and its call with the
        arguments that it asks for."""
        named = {plugin.name: plugin for plugin in self.plugins}
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            given = {name: arguments[name] for name in implementation.argnames}
            yield named[implementation.plugin_name], partial(implementation.function, **given)

    def add(self, plugin: Plugin, module: ModuleType | None) -> None:
        """Check a plugin and take it in, or take in only the report of what is wrong with it."""
        try:
            if module is not None and not plugin.problem:
                plugin = self._register(plugin, module)
        except Exception as error:
            said = (
                str(error)
                if isinstance(error, PluginError)
                else f"cannot be registered: {type(error).__name__}: {error}"
            )
            plugin = replace(plugin, problem=said)
        self.plugins.append(plugin)

    def _register(self, plugin: Plugin, module: ModuleType) -> Plugin:
        hooks = checking.hooks(module)
        components = (
            *checking.returned(plugin, module, "preflab_components", Component),
            *checking.attached(module),
        )
        stages = tuple(checking.returned(plugin, module, "preflab_stages", StageSpec))
        packages = tuple(checking.returned(plugin, module, "preflab_config_packages", str))
        commands = tuple(checking.returned(plugin, module, "preflab_commands", FunctionType))
        graph = self.stage_graph.extended(stages)
        self._check(plugin, components, packages, [command_name(f) for f in commands])
        if self.manager.has_plugin(plugin.name):
            owner = next(p for p in self.plugins if p.name == plugin.name)
            raise PluginError(
                f"has the name of {owner.label}: rename its entry point, or uninstall one of them"
            )
        try:
            self.manager.register(module, name=plugin.name)
        except (ValueError, pluggy.PluginValidationError) as error:
            self.manager.unregister(name=plugin.name)  # hooks before the wrong one are in already
            raise PluginError(str(error)) from error
        registered = replace(
            plugin,
            states_api=hasattr(module, "PREFLAB_API"),
            hooks=hooks,
            components=components,
            stages=stages,
            config_packages=packages,
            commands=commands,
        )
        self._modules[plugin.name] = module
        for component in components:
            self._components[component.kind, component.name] = (component, registered)
        self.stage_graph = graph
        self._offer_none()
        return registered

    def _check(
        self,
        plugin: Plugin,
        components: Sequence[Component],
        packages: Sequence[str],
        commands: Sequence[str],
    ) -> None:
        offered = [(component.kind, component.name) for component in components]
        for kind, name in offered:
            if offered.count((kind, name)) > 1:
                raise PluginError(f"offers {kind} '{name}' twice from preflab_components")
        for component in components:
            checking.component_shape(component)
            self._check_free(component)
            if not plugin.built_in:  # a test looks at ours; each look costs a millisecond
                checking.component_schema(component)
        for package in packages:
            if importlib.util.find_spec(package) is None:
                raise PluginError(
                    f"names the package '{package}' in preflab_config_packages, which is not "
                    "installed"
                )
        for name in commands:
            if name in OWN_COMMANDS or name in self.commands() or commands.count(name) > 1:
                raise PluginError(
                    f"offers the command '{name}' in preflab_commands, which exists already: "
                    "rename its function"
                )

    def _check_free(self, component: Component) -> None:
        if (component.kind, component.name) in self._components:
            owner = self._components[component.kind, component.name][1]
            if owner.name == "preflab":  # TRANSITION
                return
            raise PluginError(
                f"offers {component.kind} '{component.name}', which {owner.label} already "
                "provides: rename one of them, or leave one out with --no-plugin"
            )


def command_name(function: Callable[[list[str]], int]) -> str:
    """What a command is called: its function's name, a dash for each underscore."""
    return function.__name__.replace("_", "-")
