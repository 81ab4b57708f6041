"""Config fields: ranges, `check`, fast values, and typed configs from plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass

import pytest
from omegaconf import OmegaConf

from preflab import UserError, option
from preflab.options import problems, schema_of, taken, typed


@dataclass
class Inner:
    lr: float = option(0.1, "learning rate", gt=0, le=1)


@dataclass
class Config:
    steps: int = option(10, "steps", ge=1, lt=100, fast=2)
    inner: Inner = option(factory=Inner, doc="the optimizer")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.steps % 2:
            yield "steps", "must be even"


@pytest.mark.parametrize(
    "steps,lr,wrong",
    [
        (10, 0.1, []),
        (0, 0.1, [("x.steps", "is 0 but must be >= 1")]),
        (100, 0.1, [("x.steps", "is 100 but must be < 100")]),
        (10, 0.0, [("x.inner.lr", "is 0.0 but must be > 0")]),
        (10, 1.5, [("x.inner.lr", "is 1.5 but must be <= 1")]),
        (10, float("nan"), [("x.inner.lr", "is nan but must be a finite number")]),
        (3, 0.1, [("x.steps", "must be even")]),
        # `check` may assume values in range.
        (3, 0.0, [("x.inner.lr", "is 0.0 but must be > 0")]),
    ],
)
def test_problems_are_named_with_their_key(
    steps: int, lr: float, wrong: list[tuple[str, str]]
) -> None:
    assert list(problems(Config(steps, Inner(lr)), "x.")) == wrong


@pytest.mark.parametrize(
    ("place", "found", "left"),
    [
        ("terms", 1, {"watch": {"every": 5, "judges": 2}}),
        ("watch.judges", 2, {"terms": 1, "watch": {"every": 5}}),
        ("watch.other", None, {"terms": 1, "watch": {"every": 5, "judges": 2}}),
        ("terms.other", None, {"terms": 1, "watch": {"every": 5, "judges": 2}}),
    ],
)
def test_what_is_at_a_place_is_taken_out(place: str, found: int | None, left: object) -> None:
    inner = {"every": 5, "judges": 2}
    plain: dict[str, object] = {"terms": 1, "watch": inner}
    assert taken(plain, place) == found
    assert plain == left
    assert inner == {"every": 5, "judges": 2}  # somebody else's mapping stays as it is


def test_plain_values_are_converted() -> None:
    config = typed(Config, {"steps": "12", "inner": {"lr": 1}}, "x")
    assert config == Config(12, Inner(1.0))
    assert isinstance(config.inner.lr, float)


@pytest.mark.parametrize(
    "values,message",
    [
        ({"stepz": 1}, r"x\.stepz is not an option.*Did you mean 'steps'"),
        ({"steps": "many"}, r"x\.steps is 'many'"),
        ({"inner": 3}, r"x\.inner is 3 but holds options of its own: x\.inner\.lr"),
        ({"inner": {"l": 3}}, r"x\.inner\.l is not an option.*Did you mean 'lr'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        typed(Config, values, "x")


def test_equal_values_are_converted_once_and_everybody_has_an_instance_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"steps": 14, "inner": {"lr": 0.5}}
    first = typed(Config, values, "x")
    first.inner.lr = 9.0
    monkeypatch.setattr(OmegaConf, "to_object", lambda node: pytest.fail("converted again"))
    assert typed(Config, values, "y") == Config(14, Inner(0.5))
    assert values == {"steps": 14, "inner": {"lr": 0.5}}


def test_equal_values_of_another_class_are_converted_by_that() -> None:
    """As when a file of plugins is imported again: its classes have the same names."""
    made = [make_dataclass("Again", [("lr", kind, 0)]) for kind in (int, float)]
    assert [type(typed(cls, {"lr": 1}, "x").lr) for cls in made] == [int, float]
    assert [type(typed(cls, {"lr": 1}, "x")) for cls in made] == made


def test_a_schema_is_made_once() -> None:
    assert schema_of(Config) is schema_of(Config)
