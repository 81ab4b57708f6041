"""Typed configs of components: fields with documentation, ranges, and the rule that turns YAML into them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any


def option(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    factory: Any = dataclasses.MISSING,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    affects_result: bool = True,
) -> Any:
    """A config field: its default, what it does (with its unit), and its range. ``affects_result=False`` leaves it out
    of the recipe (log frequency, micro-batch size): two runs that differ in it alone share artifacts."""
    metadata = {"doc": doc, "ge": ge, "gt": gt, "le": le, "lt": lt, "affects_result": affects_result}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def problems(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(key, what is wrong) for every field out of range and every complaint of the config's own ``check`` method, which
    yields (field, message) pairs for what one range cannot say; nested dataclasses included."""
    signs = {"ge": (">=", lambda v, b: v >= b), "gt": (">", lambda v, b: v > b), "le": ("<=", lambda v, b: v <= b), "lt": ("<", lambda v, b: v < b)}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        key = f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from problems(value, f"{key}.")
            continue
        for bound, (sign, holds) in signs.items():
            limit = field.metadata.get(bound)
            if limit is not None and isinstance(value, (int, float)) and not holds(value, limit):
                yield key, f"is {value!r} but must be {sign} {limit}"
    if hasattr(config, "check"):
        for name, message in config.check():
            yield f"{path}{name}", message
