"""A start searches for garbage seldom; what comes after it as always."""

from __future__ import annotations

import gc

import pytest

from preflab.garbage import OBJECTS, seldom_searched


def test_within_it_few_searches_and_behind_it_as_before() -> None:
    before = gc.get_threshold()
    searches: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        searches.append(phase)

    gc.callbacks.append(note)
    try:
        with seldom_searched():
            kept: list[list[int]] = [[] for _ in range(OBJECTS // 2)]
    finally:
        gc.callbacks.remove(note)
    # By itself Python would search 25,000 / 700 = 35 times; what was made before may lead to one.
    assert len(kept) == OBJECTS // 2
    assert searches.count("start") <= 1
    assert gc.get_threshold() == before


def test_an_error_ends_it_too() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="mine"), seldom_searched():
        raise ValueError("mine")
    assert gc.get_threshold() == before
