"""What a sampler is given: which values a dimension has."""

from __future__ import annotations

import math

import pytest

from preflab.searching import Dimension

RATE = Dimension("lr", low=1e-5, high=1e-3, log=True)
WIDTH = Dimension("width", low=64, high=192, step=64, whole=True)
NAME = Dimension("algorithm", choices=("ppo", "grpo"))


def test_a_dimension_knows_its_ends_and_its_size() -> None:
    assert [d.ends for d in (RATE, WIDTH, NAME)] == [(1e-5, 1e-3), (64, 192), ("ppo", "grpo")]
    assert [d.size for d in (RATE, WIDTH, NAME)] == [math.inf, 3, 2]  # of widths 64, 128, 192


@pytest.mark.parametrize(
    "dimension,inside,outside",
    [
        (RATE, [1e-5, 3e-4, 1e-3], [1e-6, 2e-3, True, "1e-4", None]),
        (WIDTH, [64, 100, 192], [63, 193, 64.0, True]),
        (NAME, ["ppo"], ["dpo", 0, None]),
    ],
)
def test_a_value_is_one_of_the_dimensions_or_not(
    dimension: Dimension, inside: list[object], outside: list[object]
) -> None:
    assert all(dimension.has(value) for value in inside)
    assert not any(dimension.has(value) for value in outside)
