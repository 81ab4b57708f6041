"""Typed configs: fields with documentation and ranges, and the rule that turns plain values into
them."""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from preflab.errors import UserError, nearest
from preflab.kept import Kept, Shelf

if TYPE_CHECKING:
    from omegaconf import DictConfig


def option(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    factory: Any = dataclasses.MISSING,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    fast: Any = None,
    affects_result: bool = True,
    in_use: bool = False,
) -> Any:
    """A config field: its default, what it does (with its unit), and its range.
    ``affects_result=False`` leaves it out of the recipe (log frequency, micro-batch size): two
    runs that differ in it alone share artifacts. ``in_use=True`` leaves it out of the recipe of
    the component's own stage alone, for what changes how a trained component is used and not how
    it is trained: stages that use it differ. Fields of nested components are never left out so.
    ``fast`` is the value that ``debug=fast`` puts in the place of a larger one, so that any
    experiment runs end to end in seconds."""
    metadata = {
        "doc": doc,
        "ge": ge,
        "gt": gt,
        "le": le,
        "lt": lt,
        "fast": fast,
        "affects_result": affects_result,
        "in_use": in_use,
    }
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": (">=", operator.ge),
    "gt": (">", operator.gt),
    "le": ("<=", operator.le),
    "lt": ("<", operator.lt),
}


def taken(plain: dict[str, Any], place: str) -> Any:
    """Take the components at a place (``terms``, ``watch.evaluators``) out of plain values, which
    change at the top level alone. None: there are none."""
    first, _, rest = place.partition(".")
    if not rest:
        return plain.pop(first, None)
    if not isinstance(plain.get(first), Mapping):
        return None
    plain[first] = inner = {str(k): v for k, v in plain[first].items()}
    return taken(inner, rest)


def problems(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(key, what is wrong) for every field out of range and, if all are in range, every complaint
    of the config's own ``check`` method, which yields (field, message) pairs for what one range
    cannot say; nested dataclasses included."""
    in_range = True
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        key = f"{path}{field.name}"
        wrong = list(
            problems(value, f"{key}.")
            if dataclasses.is_dataclass(value)
            else _out_of_range(field, key, value)
        )
        in_range = in_range and not wrong
        yield from wrong
    if in_range and hasattr(config, "check"):
        for name, message in config.check():
            yield f"{path}{name}", message


def _out_of_range(field: dataclasses.Field[Any], key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield key, f"is {value!r} but must be a finite number"
        return
    for bound, (sign, holds) in _BOUNDS.items():
        limit = field.metadata.get(bound)
        if limit is not None and isinstance(value, (int, float)) and not holds(value, limit):
            yield key, f"is {value!r} but must be {sign} {limit}"


_TYPED = Shelf(1000)
"""Instances of config classes by class and plain values: of the jobs of a study most are equal."""


def typed(config_class: type[Any], values: Mapping[str, Any], key: str) -> Any:
    """An instance of a config class from plain values, types checked and converted as Hydra does.
    key: of the section that they are in; "" for the top."""
    made_of = Kept.of((config_class, dict(values)))
    kept = None if made_of is None else _TYPED.find(made_of)
    if kept is not None:
        return kept.copied()
    made = _checked(config_class, values, key)
    if made_of is not None:
        _TYPED.put(made_of, made)
    return made


def _checked(config_class: type[Any], values: Mapping[str, Any], key: str) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    hashable: Any = config_class  # mypy does not know that classes are hashable
    schema = schema_of(hashable)
    prefix = f"{key}." if key else ""
    for name, value in values.items():
        section = OmegaConf.get_type(schema, name) if name in schema else None
        if (
            dataclasses.is_dataclass(section)
            and value is not None
            and not isinstance(value, Mapping)
        ):
            inside = ", ".join(
                f"{prefix}{name}.{field.name}" for field in dataclasses.fields(section)
            )
            raise UserError(f"{prefix}{name} is {value!r} but holds options of its own: {inside}.")
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, dict(values)))
    except ConfigKeyError as error:
        parent = error.parent_node
        allowed = (
            [str(k) for k in parent]
            if parent is not None
            else [f.name for f in dataclasses.fields(config_class)]
        )
        wrong = str(error.key)
        raise UserError(
            f"{prefix}{error.full_key} is not an option. {nearest(wrong, allowed)}"
        ) from None
    except OmegaConfBaseException as error:
        first = str(error.msg or error).splitlines()[0]
        if "is not a ListConfig" in first:
            given = _at(values, str(error.full_key))
            raise UserError(
                f"{prefix}{error.full_key} is {given!r} but must be a list: "
                f"{prefix}{error.full_key}=[{given}]"
            ) from None
        raise UserError(plain_words(f"{prefix}{error.full_key}: {first}")) from None


def _at(values: Any, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


_TYPES = {
    "Float": "a number",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "a text",
}


def plain_words(text: str) -> str:
    """What OmegaConf says of a value of the wrong type, as this project says it.

    >>> plain_words("sft.epochs: Value 'x' of type 'str' could not be converted to Integer")
    "sft.epochs is 'x' but must be a whole number"
    """
    must = " is {!r} but must be {}"
    for pattern, words in (
        (r":? Value '(.*)' of type '\w+' could not be converted to (\w+)", must),
        (r":? Value '(.*)' could not be converted to (\w+)", must),
        (r":? Value '(.*)' is not a valid (\w+) \(type \w+\)", must),
        (r":? Incompatible value '(.*)' for field of type '(\w+)'", must),
        (r":? Invalid value '(.*)', expected one of \[(.*)\]", " is {!r}. Allowed: {}."),
    ):
        if found := re.search(pattern, text):
            kind = _TYPES.get(found[2], found[2])
            return text[: found.start()] + words.format(found[1], kind) + text[found.end() :]
    return text


@cache
def schema_of(config_class: type[Any]) -> DictConfig:
    """A config class as OmegaConf reads it, made once: a copy costs a fifth of making it. Copy it
    before you change it."""
    from omegaconf import OmegaConf

    made: DictConfig = OmegaConf.structured(config_class)
    return made


def canonical(value: Any) -> Any:
    """A typed config as JSON values, without the fields that do not affect a result."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [f for f in dataclasses.fields(value) if f.metadata.get("affects_result", True)]
        return {f.name: canonical(getattr(value, f.name)) for f in kept}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(v) for v in value]
    return value


def in_use(config: Any) -> dict[str, Any]:
    """The fields that change how a component is used and not how it is trained, as JSON values."""
    names = {f.name for f in dataclasses.fields(config) if f.metadata.get("in_use")}
    return {name: value for name, value in canonical(config).items() if name in names}
