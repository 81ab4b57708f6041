"""Plugins that were found: checked, kept apart when broken, and what they provide."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pluggy

from preflab import hookspecs
from preflab.components import Component
from preflab.door import checking
from preflab.door.plugin import Plugin as Plugin
from preflab.door.watching import watched
from preflab.errors import PluginError, StorageError, UserError, nearest
from preflab.kinds import NoneConfig, StageGraph, StageSpec
from preflab.signals import Stopped
from preflab.storage.durable import disk_error
from preflab.version import __version__

T = TypeVar("T")
OWN_COMMANDS = (
    *("plan", "plugins", "doctor", "artifacts", "report", "rerun", "runs", "new-plugin", "chat"),
)

ELSEWHERE = {("rollout", "vllm"): "preflab-vllm"}
"""Components of distributions that lie beside preflab in its repository, in ``plugins/``, and are
installed by themselves."""


@dataclass
class Registry:
    """What the loaded plugins provide, and the plugins that could not be used."""

    plugins: list[Plugin] = field(default_factory=list)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager("preflab"))
    stage_graph: StageGraph = field(default_factory=StageGraph)
    """All stages in the order of making: preflab's own and those of plugins."""
    _components: dict[tuple[str, str], tuple[Component, Plugin]] = field(default_factory=dict)
    _observers: dict[str, Plugin] = field(default_factory=dict)
    _switched_off: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.manager.add_hookspecs(hookspecs)
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
            f"{nearest(name, self.names(kind))}{self.to_install(kind, name)}{self.not_loaded()}"
        )

    def to_install(self, kind: str, name: str) -> str:
        """What to add to a message that a component is not there: how to install it, if it is one
        of `ELSEWHERE` and its distribution was not found."""
        where = ELSEWHERE.get((kind, name))
        if where is None or any(plugin.distribution == where for plugin in self.plugins):
            return ""
        return (
            f" '{name}' comes with {where}, which is not installed: pip install ./plugins/{where} "
            "in a clone of preflab's repository."
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

    @contextlib.contextmanager
    def run_observers(
        self, more: Iterable[tuple[Plugin, object]] = (), **run: Any
    ) -> Iterator[None]:
        """While a run lasts: the objects that plugins return from `preflab_observers` for it
        (run: its arguments) are observers too, as are more, each with the plugin that it is of."""
        try:
            for plugin, observer in more:
                self._observes(plugin, observer)
            for plugin, call in self._implementations("preflab_observers", run):
                with self._isolated(plugin, "preflab_observers"):
                    for observer in checking.observers(call(), self.manager):
                        self._observes(plugin, observer)
            yield
        finally:
            for name in self._observers:
                self.manager.unregister(name=name)
            self._observers.clear()
            self._switched_off.clear()

    def _observes(self, plugin: Plugin, observer: object) -> None:
        name = f"{plugin.name}, observer {len(self._observers) + 1}"
        self._observers[name] = plugin
        self.manager.register(observer, name)

    def observe(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook of every plugin and of every observer of this run."""
        for plugin, call in self._implementations(hook, arguments):
            with self._isolated(plugin, hook):
                call()

    @contextlib.contextmanager
    def _isolated(self, plugin: Plugin, hook: str) -> Iterator[None]:
        """A plugin that raises within it observes no more in this run; a warning names it."""
        try:
            with watched(plugin.label, hook):
                yield
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, Stopped)):
                raise
            self._switched_off.add(plugin.name)
            own = isinstance(error, PluginError)
            problem = error if own else f"raised {type(error).__name__}: {error}"
            warnings.warn(
                f"{plugin.label} is switched off for this run: {hook} {problem}", stacklevel=4
            )

    def report(self, folders: Sequence[Path], out: Path) -> str:
        """The comparison of runs; "" if no plugin makes one. The first plugin in the order of
        loading that returns a text makes it: the built-in one, unless ``--no-plugin report``
        leaves it out. A text that is not preflab's ends with the name of its plugin. A plugin
        that raises, or returns something else, is passed over with a warning that names it;
        `PluginError` if no other makes a report. Errors of the user's runs and of the disk are
        raised as they are."""
        answer = self._first_answer("preflab_report", {"folders": list(folders), "out": out}, str)
        if answer is None:
            return ""
        plugin, text = answer
        return text if plugin.built_in else f"{text}\n(This report is by {plugin.label}.)"

    def verdicts(self, folders: Sequence[Path]) -> dict[str, str]:
        """What the claims of a study stand at, by the plugin that `report` would take; {} if no
        plugin decides claims."""
        answer = self._first_answer("preflab_verdicts", {"folders": list(folders)}, dict)
        return answer[1] if answer else {}

    def seeds_needed(self, folders: Sequence[Path]) -> dict[str, int | None]:
        """How many seeds would decide each undecided claim of a study, by the first plugin that
        knows; {} if none does."""
        answer = self._first_answer("preflab_seeds_needed", {"folders": list(folders)}, dict)
        return answer[1] if answer else {}

    def _first_answer(
        self, hook: str, arguments: Mapping[str, Any], wanted: type[T]
    ) -> tuple[Plugin, T] | None:
        """The first plugin in the order of loading that answers, with its answer."""
        what, problems = "a text" if wanted is str else "a mapping", list[str]()
        calls = list(self._implementations(hook, arguments))
        for plugin, call in sorted(calls, key=lambda item: self.plugins.index(item[0])):
            try:
                answer = call()  # not watched: people wait for a report, which may take long
            except BaseException as error:
                known = (UserError, StorageError, KeyboardInterrupt, Stopped)
                if isinstance(error, known) or disk_error(error):
                    raise
                problems.append(f"{plugin.label} raised in {hook}: {type(error).__name__}: {error}")
                continue
            if isinstance(answer, wanted) and answer:
                for problem in problems:
                    warnings.warn(problem, stacklevel=3)
                return plugin, answer
            if answer is not None:
                problems.append(
                    f"{plugin.label} returned {answer!r} from {hook}, which must be {what}"
                )
        if problems:
            raise PluginError("\n".join(problems))
        return None

    def _implementations(
        self, hook: str, arguments: Mapping[str, Any]
    ) -> Iterator[tuple[Plugin, Callable[[], Any]]]:
        """Each implementation of a hook, in pluggy's order (the one registered last first): its
        plugin, and a call with the arguments that it asks for."""
        plugins = {plugin.name: plugin for plugin in self.plugins} | self._observers
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            plugin = plugins[implementation.plugin_name]
            given = {name: arguments[name] for name in implementation.argnames}
            if plugin.name not in self._switched_off:
                yield plugin, partial(implementation.function, **given)

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
        checking.api(module)
        plugin = replace(plugin, hooks=checking.hooks(module, self.manager))
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
            components=components,
            stages=stages,
            config_packages=packages,
            commands=commands,
        )
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
        fields = {f: kind for c, _ in self.components() for f, kind in c.nested.items()}
        for component in components:
            checking.component_shape(component)
            checking.component_nested(component, fields)
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
            raise PluginError(
                f"offers {component.kind} '{component.name}', which {owner.label} already "
                "provides: rename one of them, or leave one out with --no-plugin"
            )


def command_name(function: Callable[[list[str]], int]) -> str:
    """What a command is called: its function's name, a dash for each underscore."""
    return function.__name__.replace("_", "-")
