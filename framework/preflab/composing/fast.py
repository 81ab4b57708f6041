"""``debug=fast``: the small value of each field (``fast`` of `preflab.option`) takes the place of a
larger one, unless the command line gives the field a value."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from preflab.composing.search_path import registry
from preflab.kinds import LISTS
from preflab.options import problems, taken, typed

DOUBLINGS = 16
"""After so many the limits are gone, and the config is as it was without ``debug=fast``."""


def shrink(config: DictConfig, hydra: Any) -> None:
    """Make a composed config with ``fast: true`` small, in place. hydra: Hydra's own part of it.

    A component whose small values do not fit what the command line says (``batch`` must be divided
    by ``minibatch``) gets larger ones, so that whatever runs without ``debug=fast`` runs with it.
    """
    if config.get("fast") is not True:
        return
    given = _given(hydra)
    for group, kind in registry().stage_graph.groups.items():
        _shrink(config, group, kind, given)
    for group, kind in LISTS.items():
        for name in config.get(group) or ():
            _shrink(config, f"{group}.{name}", kind, given)


def _shrink(config: DictConfig, key: str, kind: str, given: set[str]) -> None:
    """One component, and those in it. One that cannot be read stays as it is."""
    with contextlib.suppress(Exception):  # who reads the config says what is wrong, and whose it is
        _shrink_readable(config, key, kind, given)


def _shrink_readable(config: DictConfig, key: str, kind: str, given: set[str]) -> None:
    node = OmegaConf.select(config, key)
    found = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_dict(node) else {}
    assert isinstance(found, dict)
    plain = {str(k): v for k, v in found.items()}
    component = registry().component(kind, str(plain.get("name")))
    for field, nested in component.nested.items():
        inner = taken(plain, field)
        names = list(inner) if isinstance(inner, Mapping) and "name" not in inner else [""]
        for name in names:
            _shrink(config, f"{key}.{field}.{name}".rstrip("."), nested, given)
    values = typed(component.config_class, plain, key)
    fields = [(p, v, f) for p, v, f in _fields(values) if f"{key}.{p}" not in given]
    before = {name for name, _ in problems(values)}
    for doublings in range(DOUBLINGS + 1):
        small = copy.deepcopy(values)
        for path, value, fast in fields:
            _set(small, path, _smaller(value, fast, doublings))
        if {name for name, _ in problems(small)} <= before:
            break
    for path, value, fast in fields:
        OmegaConf.update(config, f"{key}.{path}", _smaller(value, fast, doublings), force_add=True)


def _fields(values: Any, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, value, small value) of the fields that have one, nested dataclasses included."""
    for field in dataclasses.fields(values):
        value, fast = getattr(values, field.name), field.metadata.get("fast")
        if fast is not None:
            yield f"{above}{field.name}", value, fast
        elif dataclasses.is_dataclass(value):
            yield from _fields(value, f"{above}{field.name}.")


def _set(values: Any, path: str, value: Any) -> None:
    *above, name = path.split(".")
    for part in above:
        values = getattr(values, part)
    setattr(values, name, value)


def _smaller(value: Any, fast: Any, doublings: int) -> Any:
    """The smaller of two numbers; null stands for no limit. What is no number is replaced."""
    if isinstance(fast, bool) or not isinstance(fast, (int, float)):
        return fast if doublings < DOUBLINGS else value
    if doublings == DOUBLINGS:
        return value
    limit = fast * 2**doublings
    return limit if value is None else min(value, limit)


def _given(hydra: Any) -> set[str]:
    """Keys that the command line gives values. What a study sweeps by itself is not among them."""
    parser = OverridesParser.create()
    swept = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
    studied = {
        f"{o.get_key_element()}={value}"
        for o in parser.parse_overrides(swept)
        for value in (
            o.sweep_string_iterator() if o.is_sweep_override() else [o.get_value_element_as_str()]
        )
    }
    words = [str(word) for word in hydra.overrides.task if str(word) not in studied]
    keys: set[str] = set()
    for override in parser.parse_overrides(words):
        keys.update(_leaves(override.key_or_group, override.value()))
    return keys


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key
