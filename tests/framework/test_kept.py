"""Copies of what was made once: whole, apart from each other, and of the very classes that were
kept."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Any

from omegaconf import OmegaConf

from preflab.kept import Kept, Shelf


@dataclass
class Sizes:
    widths: list[int] = field(default_factory=lambda: [1, 2])


def test_a_copy_is_whole_and_apart_from_what_was_kept() -> None:
    config = OmegaConf.structured(Sizes)
    OmegaConf.set_struct(config, True)
    kept = Kept.of(config)
    assert kept is not None
    config.widths.append(3)
    copy = kept.copied()
    copy.widths.append(4)
    assert kept.copied().widths == [1, 2]
    assert OmegaConf.get_type(copy) is Sizes
    assert OmegaConf.is_struct(copy)
    assert copy.widths._get_parent() is copy


def test_classes_of_one_name_are_two_classes() -> None:
    """As when a file of plugins is imported again. Such a class is in no module by its name."""
    first, second = (make_dataclass("Options", [("lr", float, 1.0)]) for _ in range(2))
    kept = [Kept.of(made()) for made in (first, second)]
    assert kept[0] != kept[1]
    assert kept[0] == Kept.of(first())
    assert [type(one.copied()) for one in kept if one is not None] == [first, second]


def test_values_that_are_equal_and_yet_differ_are_kept_apart() -> None:
    values: list[Any] = [1, 1.0, True, "1", -0.0, 0.0, None, float("nan")]
    shelf = Shelf(10)
    for number, value in enumerate(values):
        shelf.put(Kept.of({"lr": value}), number)
    found = [shelf.find(Kept.of({"lr": value})) for value in values]
    assert [kept.copied() for kept in found if kept is not None] == list(range(len(values)))


def test_what_cannot_be_written_is_not_kept() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    shelf = Shelf(10)
    for value in (lambda: 1, nested):
        assert shelf.put("key", value) is None
        assert shelf.find("key") is None


def test_what_was_asked_for_last_stays() -> None:
    shelf = Shelf(2)
    shelf.put("a", 1)
    shelf.put("b", 2)
    shelf.find("a")
    shelf.put("c", 3)
    assert [shelf.find(key) is not None for key in "abc"] == [True, False, True]
    shelf.clear()
    assert shelf.find("a") is None
