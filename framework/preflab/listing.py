"""What is installed, as rows: plugins, components with their options, and what ``preflab doctor`` finds. Imports no torch."""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preflab.components import Component
from preflab.plugins import FLAGS, Plugin, Registry

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One config key of a component. key: dotted below the component; default: as YAML would show it; limits: "" or ">= 0"."""

    key: str
    type: str
    default: str
    doc: str
    limits: str = ""


def options(config_class: type[Any], prefix: str = "") -> Iterator[Option]:
    """Every key of a config class with type, default and documentation; nested dataclasses are walked, ``name`` left out."""
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from options(hint, f"{key}.")
        elif key != "name":
            limits = ", ".join(f"{sign} {field.metadata[b]}" for b, sign in _BOUNDS.items() if field.metadata.get(b) is not None)
            kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            yield Option(key, kind, _default(field), str(field.metadata.get("doc", "")), limits)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    if field.default is dataclasses.MISSING or field.default == "???":
        return "required"
    if isinstance(field.default, enum.Enum):
        return str(field.default.name)  # as Hydra takes it
    return "null" if field.default is None else repr(field.default)


def facts(plugin: Plugin) -> dict[str, Any]:
    """One plugin as ``preflab plugins --json`` shows it."""
    components = [
        {"kind": c.kind, "name": c.name, "options": {o.key: _fields(o) for o in options(c.config_class)}}
        for c in plugin.components
    ]
    shown = {name: getattr(plugin, name) for name in ("name", "module", "distribution", "version")}
    return {**shown, "status": plugin.problem or "ok", "hooks": list(plugin.hooks), "components": components}


def _fields(option: Option) -> dict[str, str]:
    return {k: v for k, v in dataclasses.asdict(option).items() if k != "key"}


def described(component: Component, plugin: Plugin) -> str:
    """One component as ``preflab plugins show`` prints it: who provides it, and its options a line each."""
    lines = [f"{component.kind}/{component.name} from {plugin.label}", ""]
    for o in options(component.config_class):
        limits = f" ({o.limits})" if o.limits else ""
        lines.append(f"  {o.key}: {o.type} = {o.default}{limits}  {o.doc}".rstrip())
    return "\n".join(lines)


def findings(registry: Registry) -> list[str]:
    """What is wrong with the installation, with what to do about it; one sentence or more each, none if all is well."""
    found = [f"{p.label} is not used: {p.problem}{_fix(p)}" for p in registry.plugins if p.problem]
    for name, wanted, have in _requirements():
        if not have:
            found.append(f"{name} is not installed (preflab needs {wanted}): pip install '{wanted}'")
    return [*found, *_shadowed(registry)]


def _fix(plugin: Plugin) -> str:
    if plugin.problem.startswith("left out by"):
        return ""
    source = "repair the file" if plugin.distribution == "file" else f"pip install --upgrade {plugin.distribution}"
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
    seen: dict[str, str] = {}
    for plugin, package in registry.config_packages():
        spec = importlib.util.find_spec(package)
        for folder in map(Path, (spec.submodule_search_locations or ()) if spec else ()):
            for path in sorted(folder.glob("*/*.yaml")):
                preset = f"{path.parent.name}={path.stem}"
                if seen.setdefault(preset, plugin) != plugin:
                    yield f"preset {preset} of plugin '{plugin}' is shadowed by the one of plugin '{seen[preset]}': rename one"


def environment() -> list[tuple[str, str]]:
    """(what, value): Python, machine, devices as the system lists them, versions, and the variables that choose plugins."""
    gpus = sorted(p.name for p in Path("/dev").glob("nvidia[0-9]*"))
    rows = [
        ("python", f"{platform.python_version()} at {sys.executable}"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("devices", f"{os.cpu_count()} CPU cores, GPUs: {', '.join(gpus) or 'none'}"),
    ]
    rows += [(name, have or "not installed") for name, _, have in _requirements()]
    return rows + [(flag, os.environ[flag]) for flag in FLAGS if flag in os.environ]
