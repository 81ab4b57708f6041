"""Plain values become typed configs, or one error that names key, value, what is allowed and the
nearest name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from preflab import Component, UserError, option
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry
from preflab.planning.reading import choose


class Mode(StrEnum):
    fast = "fast"
    slow = "slow"


@dataclass
class Inner:
    name: str = option("inner", "component")
    coef: float = option(1.0, "weight", ge=0)


@dataclass
class Nested:
    lr: float = option(0.1, "learning rate", gt=0)


@dataclass
class Outer:
    name: str = option("outer", "component")
    batch: int = option(8, "rows", ge=1)
    minibatch: int = option(4, "rows", ge=1)
    mode: Mode = option(Mode.fast, "mode")
    optimizer: Nested = option(factory=Nested, doc="optimizer")
    terms: dict[str, Any] = option(factory=dict, doc="terms")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.minibatch > self.batch:
            yield "minibatch", f"is {self.minibatch} but must be at most batch ({self.batch})"


def _registry() -> Registry:
    registry = Registry()
    plugin = Plugin("p", "p", "d", "1")
    for component in (
        Component("algorithm", "outer", Outer, nested={"terms": "term"}),
        Component("term", "inner", Inner),
    ):
        registry._components[component.kind, component.name] = (component, plugin)
    return registry


def _choose(**values: Any) -> Any:
    return choose(_registry(), "algorithm", {"name": "outer", **values}, "algorithm")


def test_values_are_converted_and_defaults_filled() -> None:
    config = _choose(batch="16", mode="slow", optimizer={"lr": 1}).config
    assert config == Outer(batch=16, mode=Mode.slow, optimizer=Nested(lr=1.0))


def test_nested_components_are_typed_too() -> None:
    choice = _choose(terms={"a": {"name": "inner", "coef": 2}})
    assert choice.config.terms == {"a": Inner(coef=2.0)}
    assert [c.key for c in choice.all()] == ["algorithm", "algorithm.terms.a"]


@pytest.mark.parametrize(
    "values,message",
    [
        ({"bach": 3}, r"algorithm\.bach is not an option.*Did you mean 'batch'"),
        (
            {"optimizer": {"lrr": 1}},
            r"algorithm\.optimizer\.lrr is not an option.*Did you mean 'lr'",
        ),
        (
            {"optimizer": 3},
            r"algorithm\.optimizer is 3 but holds options of its own: algorithm\.optimizer\.lr",
        ),
        ({"batch": "many"}, r"algorithm\.batch: Value 'many'"),
        ({"mode": "quick"}, r"algorithm\.mode: .*quick.*fast.*slow"),
        ({"batch": 0}, r"algorithm\.batch is 0 but must be >= 1"),
        ({"optimizer": {"lr": 0}}, r"algorithm\.optimizer\.lr is 0.0 but must be > 0"),
        ({"minibatch": 9}, r"algorithm\.minibatch is 9 but must be at most batch \(8\)"),
        ({"terms": {"a": {"name": "iner"}}}, r"no term called 'iner'.*Did you mean 'inner'"),
        (
            {"terms": {"a": {"name": "inner", "coef": -1}}},
            r"algorithm\.terms\.a\.coef is -1.0 but must be >= 0",
        ),
        (
            {"terms": {"a": {"coef": 1}}},
            r"algorithm\.terms\.a must be one term component with a 'name'",
        ),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _choose(**values)
