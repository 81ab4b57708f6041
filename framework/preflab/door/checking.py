"""What a plugin's module and its components must be like to be taken in. Each refusal is a
sentence about the plugin."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from preflab import hookspecs
from preflab.components import Component, Place
from preflab.door.plugin import Plugin
from preflab.door.watching import watched
from preflab.errors import PluginError, nearest

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def hooks(module: ModuleType) -> tuple[str, ...]:
    """Names of the hooks that a module implements; `PluginError` for another API, an unknown
    hook, a wrapper, or a function that lacks @hookimpl."""
    api = getattr(module, "PREFLAB_API", hookspecs.API_VERSION)
    if api != hookspecs.API_VERSION:
        raise PluginError(
            f"needs plugin API {api}, this preflab has {hookspecs.API_VERSION}: install a release "
            "that fits"
        )
    known = {name for name in vars(hookspecs) if name.startswith("preflab_")}
    marked = {name: value for name, value in vars(module).items() if hasattr(value, "preflab_impl")}
    for name, function in marked.items():
        if name not in known:
            raise PluginError(
                f"has a hook '{name}' that preflab does not know. {nearest(name, known)}"
            )
        if function.preflab_impl.get("wrapper") or function.preflab_impl.get("hookwrapper"):
            raise PluginError(
                f"has the hook '{name}' as a wrapper, which would never be called: write plain "
                "@hookimpl"
            )
    for name in sorted(known - set(marked)):
        function = vars(module).get(name)
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            raise PluginError(
                f"has a function '{name}' that is not marked as a hook: write @preflab.hookimpl "
                "above it"
            )
    return tuple(sorted(marked))


def returned(plugin: Plugin, module: ModuleType, hook: str, kind: type[Any]) -> list[Any]:
    """The list that a registration hook of a plugin returns, checked."""
    function = getattr(module, hook, None)
    if function is None or not hasattr(function, "preflab_impl"):
        return []
    try:
        with contextlib.redirect_stdout(sys.stderr), watched(plugin.label, hook):
            items = function()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"raised in {hook}: {type(error).__name__}: {error}") from error
    if (
        isinstance(items, str)
        or not isinstance(items, Sequence)
        or not all(isinstance(item, kind) for item in items)
    ):
        raise PluginError(
            f"returned {items!r} from {hook}, which must be a list of {kind.__name__}"
        )
    return list(items)


def attached(module: ModuleType) -> list[Component]:
    """Components that decorators have attached to functions of this module or of its submodules
    (`preflab.reward`)."""
    values = [
        v
        for v in vars(module).values()
        if f"{getattr(v, '__module__', '')}.".startswith(f"{module.__name__}.")
    ]
    attached = [getattr(value, "preflab_component", None) for value in values]
    return [component for component in attached if isinstance(component, Component)]


def component_shape(component: Component) -> None:
    """`PluginError` unless names are usable and builders are functions or places of functions."""
    for word in (component.kind, component.name):
        if not isinstance(word, str) or not SAFE_NAME.fullmatch(word):
            raise PluginError(
                f"offers a component with the unusable name {word!r}: letters, digits, '_', '-' "
                "and '.' only"
            )
    where = f"offers {component.kind} '{component.name}' in preflab_components"
    nested = component.nested
    if not isinstance(nested, Mapping) or not all(
        isinstance(word, str) for pair in nested.items() for word in pair
    ):
        raise PluginError(
            f"{where}, whose nested is {nested!r}: it must map config fields to kinds"
        )
    if not callable(component.needs):
        raise PluginError(
            f"{where}, whose needs is {component.needs!r}: it must be a list of words or a function"
        )
    for name in ("build", "procedure", "inspect"):
        value = getattr(component, name)
        place = value.place if isinstance(value, Place) else "package.module:name"
        optional = value is None and name in ("build", "procedure")
        if not (optional or callable(value)) or not re.fullmatch(r"[\w.]+:\w+", place):
            shown = repr(place if isinstance(value, Place) else value)
            raise PluginError(
                f"{where}, whose {name} is {shown}: it must be a function, or its place as "
                "'package.module:name'"
            )


def component_schema(component: Component) -> None:
    """`PluginError` for a config class that Hydra cannot read: it would stop every run, not only
    those that choose it."""
    from omegaconf import OmegaConf

    where = (
        f"offers {component.kind} '{component.name}' in preflab_components, whose config class "
        f"{component.config_class!r}"
    )
    try:
        name = OmegaConf.to_container(OmegaConf.structured(component.config_class)).get("name")  # type: ignore[union-attr]
    except Exception as error:
        raise PluginError(
            f"{where} is not a usable schema: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if name != component.name:
        raise PluginError(f"{where} has the field name = {name!r}: it must be {component.name!r}")
