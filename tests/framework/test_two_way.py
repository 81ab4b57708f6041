"""Means over prompts and labelers with two-way intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from preflab import intervals
from preflab.two_way import (
    by_labeler,
    cells,
    mean_about_people,
    mean_about_prompts,
    variances,
)
from preflab_builtin.report.differences import crossed


def _full(table: np.ndarray) -> tuple[list[float], list[int], list[int]]:
    """Values, prompts and labelers of a full table [labelers, prompts]."""
    labelers, prompts = np.indices(table.shape)
    return table.ravel().tolist(), prompts.ravel().tolist(), labelers.ravel().tolist()


def test_variances_by_hand() -> None:
    """Two labelers, two prompts, values 0 1 / 2 5; rows 0.5, 3.5; columns 1, 3; mean 2. Sums of
    squares: labelers 2 (1.5^2 + 1.5^2) = 9, prompts 2 (1 + 1) = 4, all 14, so the rest is 1; each
    with one degree of freedom. Components: labelers (9 - 1) / 2 = 4, prompts (4 - 1) / 2 = 1.5,
    rest 1. Variance of the mean: 4 / 2 + 1.5 / 2 + 1 / 4 = 3 (= (9 + 4 - 1) / 4)."""
    found = variances(cells(*_full(np.array([[0.0, 1.0], [2.0, 5.0]]))))
    assert (found.prompt, found.labeler, found.rest) == pytest.approx((1.5, 4.0, 1.0))
    assert found.of_mean == pytest.approx(3.0)
    # Satterthwaite: 3^2 / (1^2 / 1 + 2.25^2 / 1), from 4 / 4 and 9 / 4.
    assert found.freedom == pytest.approx(9 / (1 + 2.25**2))


@pytest.mark.parametrize("seed", range(5))
def test_on_a_full_table_the_variance_is_that_of_the_report(seed: int) -> None:
    """`crossed` takes the rest's degrees of freedom into account too, which are many here."""
    random = np.random.default_rng(seed)
    table = random.normal(size=(6, 1)) + random.normal(size=(1, 30)) + random.normal(size=(6, 30))
    found = mean_about_people(cells(*_full(table)), -100.0, 100.0)
    expected = crossed(table.tolist()).measure()
    assert found.value == pytest.approx(expected.value)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.01)


def test_components_are_unbiased_where_most_cells_are_empty() -> None:
    """40 prompts, 8 labelers, one or two on a prompt: means over 400 tables against the truth 1,
    0.5 and 2, within four standard errors."""
    found = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        prompt = random.normal(0, 1, 40)
        labeler = random.normal(0, math.sqrt(0.5), 8)
        rows = [(p, k) for p in range(40) for k in random.permutation(8)[: 1 + p % 2].tolist()]
        values = [prompt[p] + labeler[k] + random.normal(0, math.sqrt(2)) for p, k in rows]
        v = variances(cells(values, [p for p, _ in rows], [k for _, k in rows]))
        found.append((v.prompt, v.labeler, v.rest))
    error = np.std(found, axis=0) / 20
    assert (np.abs(np.mean(found, axis=0) - (1, 0.5, 2)) < 4 * error).all()


def test_one_label_a_prompt_is_enough() -> None:
    """Prompts and the rest cannot be told apart, but the variance of the mean can: three labelers
    with means 0, 0.5 and 1 on two prompts each."""
    values, labelers = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], ["x", "x", "y", "y", "z", "z"]
    found = variances(cells(values, range(6), labelers))
    # Between labelers MS = 2 (0.25 + 0 + 0.25) / 2 = 0.5, within 0.5 / 3: the mean has 0.5 / 6.
    assert found.of_mean == pytest.approx(0.5 / 6)
    assert found.labeler == pytest.approx((0.5 - 0.5 / 3) / 2)


def test_prompts_weigh_the_same_however_many_judged_them() -> None:
    table = cells([1.0, 0.0, 0.0, 0.0], ["p", "q", "q", "q"], ["x", "x", "y", "z"])
    assert mean_about_people(table, 0, 1).value == pytest.approx(0.5)
    each = cells(
        [1.0, 0.0, 0.0, 0.0], ["p", "q", "q", "q"], ["x", "x", "y", "z"], weigh_values=True
    )
    assert mean_about_people(each, 0, 1).value == pytest.approx(0.25)


def test_values_of_one_cell_are_one() -> None:
    table = cells([1.0, 0.0, 1.0], ["p", "p", "q"], ["x", "x", "x"], weigh_values=True)
    assert (table.value.tolist(), table.weight.tolist()) == ([0.5, 1.0], [2.0, 1.0])


def test_where_nothing_varies_it_is_not_certain() -> None:
    table = cells([1.0] * 20, list(range(20)), ["x", "y"] * 10)
    found = mean_about_people(table, 0, 1)
    assert found.low == pytest.approx(intervals.bounded_mean([1.0] * 20).low)
    assert mean_about_prompts(table, 0, 1).low == pytest.approx(found.low)


@pytest.mark.parametrize(
    "values, prompts, labelers",
    [([], [], []), ([1.0], ["p"], ["x"]), ([1.0, 0.0], ["p", "q"], ["x", "x"])],
)
def test_too_few_have_no_interval_about_people(
    values: list[float], prompts: list[str], labelers: list[str]
) -> None:
    found = mean_about_people(cells(values, prompts, labelers), 0, 1)
    assert math.isnan(found.low)
    assert found.n == len(prompts)


def test_prompts_of_one_group_are_one_unit() -> None:
    """All differences are between two groups of ten prompts: two units, not twenty."""
    values, groups = [0.0] * 10 + [1.0] * 10, ["g"] * 10 + ["h"] * 10
    labelers = ["x", "y"] * 10
    alone = mean_about_people(cells(values, range(20), labelers), 0, 1)
    grouped = mean_about_people(cells(values, range(20), labelers, groups), 0, 1)
    assert (grouped.value, grouped.n) == pytest.approx((0.5, 20))
    assert alone.high - alone.low < 0.6
    assert (grouped.low, grouped.high) == (0.0, 1.0)


def test_students_t_over_labelers() -> None:
    table = cells([1.0, 0.0, 1.0, 1.0], ["p", "q", "r", "s"], ["x", "x", "y", "z"])
    assert by_labeler(table, 0, 1).value == pytest.approx((0.5 + 1 + 1) / 3)
    expected = intervals.within(intervals.t_interval([0.5, 1.0, 1.0]), 0.0, 1.0)
    assert by_labeler(table, 0, 1) == expected
