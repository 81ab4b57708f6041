"""What a plugin's module and its components must be like to be taken in. Each refusal is a
sentence about the plugin."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

import pluggy

from preflab import hookspecs
from preflab.components import Component, Place
from preflab.door.plugin import Plugin
from preflab.door.watching import watched
from preflab.errors import PluginError, nearest

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("preflab_"))
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def api(module: ModuleType) -> None:
    """`PluginError` if a module is made for another plugin API."""
    needed = getattr(module, "PREFLAB_API", hookspecs.API_VERSION)
    if needed != hookspecs.API_VERSION:
        raise PluginError(
            f"needs plugin API {needed}, this preflab has {hookspecs.API_VERSION}: "
            "install a release that fits"
        )


def hooks(
    holder: object, manager: pluggy.PluginManager, known: Collection[str] = HOOKS
) -> tuple[str, ...]:
    """Names of the hooks that a module, or an observer object, implements; `PluginError` for an
    unknown one, for a wrapper, and for a function that lacks @hookimpl. known: the names that are
    allowed."""
    names = []
    for name in dir(holder):
        options = manager.parse_hookimpl_opts(holder, name)
        if options is None and not _is_meant_as_hook(holder, name):
            continue
        if name not in known:
            raise PluginError(
                f"has a hook '{name}' that preflab does not know here. {nearest(name, known)}"
            )
        if options is None:
            raise PluginError(
                f"has a function '{name}' that is not marked as a hook: "
                "write @preflab.hookimpl above it"
            )
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(
                f"has the hook '{name}' as a wrapper, which would never be called: "
                "write plain @hookimpl"
            )
        names.append(name)
    return tuple(names)


def observers(returned: object, manager: pluggy.PluginManager) -> list[object]:
    """What a plugin returned from `preflab_observers`, checked."""
    if isinstance(returned, str) or not isinstance(returned, Sequence):
        raise PluginError(f"returned {returned!r}, which must be a list of objects")
    for observer in returned:
        name = type(observer).__name__
        if isinstance(observer, type):
            raise PluginError(f"returned the class {observer.__name__}: return an instance of it")
        try:
            implemented = hooks(observer, manager, hookspecs.OBSERVER_HOOKS)
        except PluginError as error:
            raise PluginError(f"returned an object of class {name}, which {error}") from None
        if not implemented:
            raise PluginError(
                f"returned an object of class {name}, which observes nothing: mark methods with "
                f"@preflab.hookimpl. Allowed: {', '.join(hookspecs.OBSERVER_HOOKS)}"
            )
    return list(returned)


def _is_meant_as_hook(holder: object, name: str) -> bool:
    """Whether it is a function with the name of a hook that was written here, and not imported."""
    if not name.startswith("preflab_"):
        return False
    function = getattr(holder, name)
    module = holder.__name__ if isinstance(holder, ModuleType) else None
    return inspect.isroutine(function) and module in (None, function.__module__)


def returned(plugin: Plugin, module: ModuleType, hook: str, kind: type[Any]) -> list[Any]:
    """The list that a registration hook of a plugin returns, checked."""
    if hook not in plugin.hooks:
        return []
    try:
        with contextlib.redirect_stdout(sys.stderr), watched(plugin.label, hook):
            items = getattr(module, hook)()
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
    for name in ("build", "procedure", "inspect", "preflight", "checkpoint"):
        value = getattr(component, name)
        place = value.place if isinstance(value, Place) else "package.module:name"
        optional = value is None and name in ("build", "procedure", "checkpoint")
        if not (optional or callable(value)) or not re.fullmatch(r"[\w.]+:\w+", place):
            shown = repr(place if isinstance(value, Place) else value)
            raise PluginError(
                f"{where}, whose {name} is {shown}: it must be a function, or its place as "
                "'package.module:name'"
            )


def component_nested(component: Component, fields: Mapping[str, str]) -> None:
    """`PluginError` for a mapping with the name of a field that holds components elsewhere, which
    would be built here only if it is declared. fields: their names, and kinds."""
    if not dataclasses.is_dataclass(component.config_class):
        return  # told by `component_schema`
    types = {field.name: field.type for field in dataclasses.fields(component.config_class)}
    for name in sorted(set(fields) & set(types) - set(component.nested)):
        if str(types[name]).startswith(("dict", "typing.Dict")):
            raise PluginError(
                f"offers {component.kind} '{component.name}' in preflab_components, whose config "
                f"has the field {name}, which no component would be built from: declare it with "
                f"nested={{'{name}': '{fields[name]}'}}"
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
        values: Any = OmegaConf.to_container(OmegaConf.structured(component.config_class))
        name = values.get("name")
    except Exception as error:
        raise PluginError(
            f"{where} is not a usable schema: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if name != component.name:
        raise PluginError(f"{where} has the field name = {name!r}: it must be {component.name!r}")
    if component.kind == "gradient_term" and "coef" not in values:
        raise PluginError(
            f"{where} has no field 'coef': algorithms build a term only if its coef is not 0"
        )
