"""What is installed, as rows: plugins, components with their options, and what ``preflab doctor``
finds. Imports no torch."""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import importlib.util
import os
import platform
import re
import socket
import sys
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from preflab import hookspecs
from preflab.components import Component
from preflab.door.discovery import FLAGS
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry, command_name
from preflab.errors import UserError, nearest
from preflab.kinds import LISTS, SAMPLER
from preflab.settings import RunSettings
from preflab.study import ClaimConfig, SearchConfig, SeedsConfig, StudyConfig
from preflab.visible import VISIBLE

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One config key of a component. key: dotted below the component; default: as YAML would show
    it; limits: "" or ">= 0"."""

    key: str
    type: str
    default: str
    doc: str
    limits: str = ""


SOCKETS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name the network card between machines: for CPUs, for GPUs."""


def options(config_class: type[Any], prefix: str = "", named: str = "name") -> Iterator[Option]:
    """Every key of a config class with type, default and documentation; nested dataclasses are
    walked. named: the key that is left out, by which a component is chosen."""
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from options(hint, f"{key}.")
        elif key != named:
            limits = ", ".join(
                f"{sign} {field.metadata[b]}"
                for b, sign in _BOUNDS.items()
                if field.metadata.get(b) is not None
            )
            doc = str(field.metadata.get("doc", ""))
            yield Option(key, _type(hint), _default(field), doc, limits)


def _type(hint: Any) -> str:
    if isinstance(hint, type):
        return hint.__name__
    return re.sub(r"(?:\w+\.)+", "", str(hint))  # without modules


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    if field.default is dataclasses.MISSING or field.default == "???":
        return "required"
    if isinstance(field.default, enum.Enum):
        return str(field.default.name)  # as Hydra takes it
    return "null" if field.default is None else repr(field.default)


OBSERVER = "observer"
"""How a plugin with observer hooks is listed: as a component of this kind with the plugin's name.
It is none that a config could choose: observers are called whenever they are installed, so they
have no options and change no number."""


def observed(plugin: Plugin) -> tuple[str, ...]:
    """The observer hooks of a plugin, in the order of a run."""
    names = ("preflab_observers", *hookspecs.OBSERVER_HOOKS)
    return tuple(name for name in names if name in plugin.hooks)


def provided(plugin: Plugin) -> str:
    """What a plugin provides, as one cell of a table."""
    parts = [f"{c.kind}/{c.name}" for c in plugin.components]
    if observed(plugin):
        parts.append(
            f"{OBSERVER}/{plugin.name} "
            f"({', '.join(h.removeprefix('preflab_') for h in observed(plugin))})"
        )
    parts += [f"command {command_name(f)}" for f in plugin.commands]
    return ", ".join([*parts, *(["report"] if "preflab_report" in plugin.hooks else [])])


def shown(kind: str, name: str, registry: Registry) -> tuple[str, dict[str, Any]]:
    """One component, or one observer, as text and as JSON values; `UserError` with the nearest
    kind or name."""
    observers = {
        plugin.name: plugin
        for plugin in registry.plugins
        if observed(plugin) and not plugin.problem
    }
    kinds = {OBSERVER, *(component.kind for component, _ in registry.components())}
    if kind not in kinds:
        raise UserError(f"There is no kind '{kind}'. {nearest(kind, kinds)}")
    if kind != OBSERVER:
        _refuse_preset(kind, name, registry)
        component, plugin = registry.component(kind, name), registry.provider(kind, name)
        return described(component, plugin), facts(
            dataclasses.replace(plugin, components=(component,), hooks=())
        )
    if name not in observers:
        raise UserError(
            f"There is no observer '{name}'. {nearest(name, observers)}{registry.not_loaded()}"
        )
    plugin = observers[name]
    lines = [f"{OBSERVER}/{name} from {plugin.label}", ""]
    for hook in observed(plugin):
        sentence, _, _ = " ".join((getattr(hookspecs, hook).__doc__ or "").split()).partition(". ")
        lines.append(f"  {hook}: {sentence.removesuffix('.')}.")
    return "\n".join(
        [*lines, "", f"It has no options. Leave it out with --no-plugin {name}."]
    ), facts(plugin)


def _refuse_preset(kind: str, name: str, registry: Registry) -> None:
    """`UserError` for a preset that is no component: its values are those of a config."""
    from preflab.composing.search_path import options as choices

    if name in registry.names(kind):
        return
    groups = [group for group, of in registry.stage_graph.groups.items() if of == kind]
    group = kind if kind in groups else next(iter(groups), kind)
    if name in choices(group):
        raise UserError(
            f"{group}={name} is a preset, not a component. Its values, and the component that it "
            f"sets up: preflab --cfg job -p {group} {group}={name}"
        )


def facts(plugin: Plugin) -> dict[str, Any]:
    """One plugin as ``preflab plugins --json`` shows it."""
    components: list[dict[str, Any]] = [
        {
            "kind": c.kind,
            "name": c.name,
            "options": {o.key: _fields(o) for o in options(c.config_class)},
        }
        for c in plugin.components
    ]
    if observed(plugin):
        components.append(
            {"kind": OBSERVER, "name": plugin.name, "options": {}, "hooks": list(observed(plugin))}
        )
    about = {name: getattr(plugin, name) for name in ("name", "module", "distribution", "version")}
    return {
        **about,
        "status": plugin.problem or "ok",
        "hooks": list(plugin.hooks),
        "components": components,
    }


def _fields(option: Option) -> dict[str, str]:
    return {k: v for k, v in dataclasses.asdict(option).items() if k != "key"}


def described(component: Component, plugin: Plugin) -> str:
    """One component as ``preflab plugins show`` prints it: who provides it, and its options, one
    per line."""
    lines = [f"{component.kind}/{component.name} from {plugin.label}", ""]
    for o in options(component.config_class):
        limits = f" ({o.limits})" if o.limits else ""
        lines.append(f"  {o.key}: {o.type} = {o.default}{limits}  {o.doc}".rstrip())
    return "\n".join([*lines, "", _WHERE_VALUES_ARE])


_WHERE_VALUES_ARE = (
    "These are the defaults of the schema. A preset may set other values: preflab --cfg job "
    "shows what a command has."
)


REFERENCE = ("<!-- start: generated by make reference -->", "<!-- end: generated -->")
"""The lines of conf/README.md between which the reference is."""


SETTINGS = {
    "": RunSettings,
    "study.": StudyConfig,
    "study.seeds.": SeedsConfig,
    "study.search.": SearchConfig,
    "study.claims.NAME.": ClaimConfig,
}
"""The keys of a config that are of no component, by what is in front of them."""


def reference(registry: Registry) -> str:
    """Every setting, and every option of every built-in component, as Markdown tables, the latter
    by kind and name."""
    lines: list[str] = []
    for prefix, config_class in SETTINGS.items():
        title = f"settings: {prefix.rstrip('.') or 'every run'}"
        lines += _table(title, options(config_class, prefix, named=""))
    for component, plugin in registry.components():
        if plugin.built_in:
            title = f"{component.kind}: {component.name}"
            lines += _table(title, options(component.config_class))
    return "\n".join([*lines[1:], ""])


def _table(title: str, rows: Iterable[Option]) -> list[str]:
    lines = []
    for o in rows:
        cells = (f"`{o.key}`", f"`{o.type}`", f"`{o.default}`", o.limits, o.doc)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    head = ["", f"### {title}", "", "| key | type | default | limits | |", "|---|---|---|---|---|"]
    return [*head, *lines] if lines else []


def with_reference(page: str, text: str) -> str:
    """The page with the reference between its two marks replaced."""
    before, _, rest = page.partition(REFERENCE[0])
    return f"{before}{REFERENCE[0]}\n{text}{REFERENCE[1]}{rest.partition(REFERENCE[1])[2]}"


def findings(registry: Registry) -> list[str]:
    """What is wrong with the installation, with what to do about it; one sentence or more each,
    none if all is well."""
    problems = [
        f"{p.label} is not used: {p.problem}{_fix(p)}" for p in registry.plugins if p.problem
    ]
    for name, wanted, have in _requirements():
        if not have or not Requirement(wanted).specifier.contains(have, prereleases=True):
            state = f"is {have}, which does not fit" if have else "is not installed"
            problems.append(f"{name} {state} (preflab needs {wanted}): pip install '{wanted}'")
    stated = [
        p
        for p in registry.plugins
        if not p.problem and not p.states_api and p.distribution not in ("preflab", "file")
    ]
    problems += [
        f"{p.label} does not state its API version: add PREFLAB_API = {hookspecs.API_VERSION} to "
        f"{p.module}"
        for p in stated
    ]
    return [*problems, *_idle(registry), *_shadowed(registry)]


def _idle(registry: Registry) -> Iterator[str]:
    """Components of a kind that no config group and no other component asks for: a misspelt kind,
    most likely."""

    asked = {*registry.stage_graph.groups.values(), *LISTS.values(), SAMPLER}
    for component, _ in registry.components():
        asked.update(component.nested.values())
    for component, plugin in registry.components():
        if component.kind not in asked:
            name = f"{component.kind} '{component.name}'"
            allowed = nearest(component.kind, asked)
            yield f"{plugin.label} offers {name}, a kind that nothing asks for. {allowed}"


def _fix(plugin: Plugin) -> str:
    if plugin.problem.startswith("left out by"):
        return ""
    if "already" in plugin.problem or "has the name of" in plugin.problem:
        source = f"ask the author of {plugin.distribution} for another name"
    elif "needs plugin API" in plugin.problem:
        source = (
            f"install a release of {plugin.distribution} that is made for this preflab, or the "
            "preflab that it is made for"
        )
    else:
        source = f"pip install --upgrade {plugin.distribution}"
    return f"\n    Fix: {source}, or leave it out with --no-plugin {plugin.name}"


def _requirements() -> Iterator[tuple[str, str, str]]:
    """(distribution, requirement, installed version or "") of what preflab needs always."""
    for requirement in importlib.metadata.requires("preflab") or []:
        if "extra ==" in requirement:
            continue
        match = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert match is not None, requirement
        try:
            yield match[0], requirement, importlib.metadata.version(match[0])
        except importlib.metadata.PackageNotFoundError:
            yield match[0], requirement, ""


def _shadowed(registry: Registry) -> Iterator[str]:
    """Presets of one group and name in two plugins: Hydra takes the first."""
    from preflab.composing.search_path import config_root

    built_in = {
        f"{path.parent.name}={path.stem}": "preflab" for path in config_root().glob("*/*.yaml")
    }
    seen = dict(built_in)
    for plugin, package in registry.config_packages():
        spec = importlib.util.find_spec(package)
        for folder in map(Path, (spec.submodule_search_locations or ()) if spec else ()):
            for path in sorted(folder.glob("*/*.yaml")):
                preset = f"{path.parent.name}={path.stem}"
                if seen.setdefault(preset, plugin) != plugin:
                    owner = "preflab itself" if preset in built_in else f"plugin '{seen[preset]}'"
                    yield (
                        f"preset {preset} of plugin '{plugin}' is shadowed by the one of {owner}: "
                        "rename it"
                    )


def environment() -> list[tuple[str, str]]:
    """(what, value): Python, machine, devices as the system lists them, versions, and the
    variables that choose plugins."""
    gpus = sorted(p.name for p in Path("/dev").glob("nvidia[0-9]*"))
    seen = f" ({VISIBLE}={os.environ[VISIBLE]})" if gpus and VISIBLE in os.environ else ""
    rows = [
        ("python", f"{platform.python_version()} at {sys.executable}"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("devices", f"{os.cpu_count()} CPU cores, GPUs: {', '.join(gpus) or 'none'}{seen}"),
    ]
    rows.append(("network", _network()))
    rows += [(name, have or "not installed") for name, _, have in _requirements()]
    return rows + [(flag, os.environ[flag]) for flag in FLAGS if flag in os.environ]


def _network() -> str:
    """The network cards, and how processes on several machines are told which one joins them."""
    cards = [name for _, name in socket.if_nameindex() if name != "lo"]
    told = [f"{name}={os.environ[name]}" for name in SOCKETS if name in os.environ]
    advice = (
        f"several machines that do not find each other need {' and '.join(SOCKETS)}={cards[0]}"
        if cards
        else "one machine only"
    )
    return f"{', '.join(cards) or 'none'}; {', '.join(told) or advice}"


if __name__ == "__main__":
    from preflab.composing.search_path import config_root, registry

    _page = config_root() / "README.md"
    _page.write_text(
        with_reference(_page.read_text(encoding="utf8"), reference(registry())), encoding="utf8"
    )
