"""Plain values of a composed config become typed, checked choices of components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflab.components import Inspection
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.door.registry import Registry
from preflab.errors import PluginError, UserError
from preflab.options import problems, shrink, typed


def choose(
    registry: Registry, kind: str, node: Mapping[str, Any], key: str, fast: bool = False
) -> Choice:
    """Turn plain config values into a typed, checked choice; `UserError` with key, value, what is
    allowed and the nearest name. Whatever file the values came from, they pass through the
    component's schema here. fast: as `option` says."""
    if not isinstance(node, Mapping) or not node.get("name"):
        options = ", ".join(registry.names(kind))
        raise UserError(
            f"{key} must be one {kind} component with a 'name', not {node!r}. Allowed: {options}."
        )
    component, plugin = (
        registry.component(kind, str(node["name"])),
        registry.provider(kind, str(node["name"])),
    )
    plain = {k: v for k, v in node.items() if k not in component.nested}
    with blamed(Choice(key, component, plugin, None)):
        config = typed(component.config_class, plain, key)
    choices: list[Choice] = []
    for field, nested_kind in component.nested.items():
        value = node.get(field)
        if value is None:
            continue
        if isinstance(value, Mapping) and "name" in value:
            choice = choose(registry, nested_kind, value, f"{key}.{field}", fast)
            choices.append(choice)
            setattr(config, field, choice.config)
        else:
            given = {str(k): v for k, v in _items(value) if v is not None}
            items = {
                k: choose(registry, nested_kind, v, f"{key}.{field}.{k}", fast)
                for k, v in given.items()
            }
            choices.extend(items.values())
            setattr(config, field, {k: c.config for k, c in items.items()})
    if fast:
        shrink(config)
    choice = Choice(key, component, plugin, config, tuple(choices))
    with blamed(choice):
        wrong = list(problems(config, f"{key}."))
    if wrong:
        raise UserError("\n".join(f"{name} {message}" for name, message in wrong))
    return choice


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else list(enumerate(value))


def needs(choice: Choice) -> set[str]:
    """What a choice and its nested choices need, in the words of `Component.needs`."""
    with blamed(choice):
        own = set(choice.component.needs(choice.config))
    return own.union(*map(needs, choice.nested))


def inspect(choice: Choice) -> Inspection:
    """What the outside inputs of a choice are."""
    with blamed(choice):
        inspection = choice.component.inspect(choice.config)
    if not isinstance(inspection, Inspection):
        raise PluginError(
            f"{choice.component.kind} '{choice.name}' of {choice.plugin.label}: inspect returned "
            f"{inspection!r}"
        )
    return inspection
