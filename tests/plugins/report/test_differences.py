"""Intervals of differences, against closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from preflab.interfaces import Measure
from preflab.intervals import t_interval
from preflab_builtin.report.differences import crossed, difference
from preflab_builtin.report.runs import RunResult


def test_one_seed_is_the_t_interval_over_prompts() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.9]
    mean = crossed([values]).measure()
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))


def test_one_prompt_has_no_interval() -> None:
    for seeds in ([[0.5]], [[0.25], [0.75]]):
        mean = crossed(seeds).measure()
        assert (mean.value, mean.n) == (0.5, 1)
        assert math.isnan(mean.low)


def test_seeds_that_agree_leave_the_variance_of_prompts_only() -> None:
    # Three equal rows are one row three times: they tell no more about other prompts than one seed.
    values = [0.1, 0.4, -0.2, 0.3, 0.9]
    one, three = (crossed(rows).measure() for rows in ([values], [values] * 3))
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_prompts_that_agree_leave_the_variance_of_seeds_only() -> None:
    # Every prompt says 1, 2, 3 by seed: Student's t over the three seeds, for any number of
    # prompts.
    mean = crossed([[1.0] * 50, [2.0] * 50, [3.0] * 50]).measure()
    seeds = t_interval([1.0, 2.0, 3.0])
    assert (mean.low, mean.high) == pytest.approx((seeds.low, seeds.high), abs=1e-6)


def test_the_crossed_interval_covers_what_it_says() -> None:
    # 400 tables of 3 seeds and 40 prompts whose true mean is 0: seeds sd 0.3, prompts sd 0.5, rest
    # sd 1. Of 400 intervals 95 % cover 0 on average; three standard errors of that share are
    # 3 * sqrt(.95 * .05 / 400) = 0.033.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        seeds, prompts = 0.3 * rng.normal(size=(3, 1)), 0.5 * rng.normal(size=(1, 40))
        mean = crossed((seeds + prompts + rng.normal(size=(3, 40))).tolist()).measure()
        covered += mean.low <= 0 <= mean.high
    assert covered / 400 > 0.95 - 0.033


def test_draws_of_one_seed_tell_no_more_of_other_seeds_than_one_draw() -> None:
    # Upstream variance only: both draws of a seed have its gap, which is their mean. Two equal rows
    # are not two seeds: the interval is that of three seeds, to the bit.
    seeds = [[0.1, 0.4, -0.2], [0.5, 0.9, 0.1], [0.2, 0.8, 0.3]]
    once, twice = (
        crossed(seeds),
        crossed([row for row in seeds for _ in (1, 2)], [1, 1, 2, 2, 3, 3]),
    )
    assert twice.measure() == once.measure()
    assert twice.p(0.0) == once.p(0.0)
    # Draws that differ count as their mean, however many of them a seed has: (.2 + .6) / 2 = .4.
    rows, mean = [[0.2, 0.3], [0.6, 0.5], [1.0, 1.6]], [[0.4, 0.4], [1.0, 1.6]]
    assert crossed(rows, [1, 1, 2]).measure() == crossed(mean).measure()


def test_draws_of_one_seed_are_one_value_of_a_measure_without_prompts() -> None:
    # Gaps 1 and 3 of seed 1, 5 of seed 2, 8 of seed 3: Student's t of 2, 5, 8, and not of four.
    gaps = [(1, 1.0), (1, 3.0), (2, 5.0), (3, 8.0)]
    runs = [RunResult(Path("x"), "s", "a", (), s, (), {"m": Measure(v)}) for s, v in gaps]
    found = difference("m", [((run,), ()) for run in runs])
    expected = t_interval([2.0, 5.0, 8.0])
    assert found is not None
    assert found.freedom == 2
    assert (found.measure().low, found.measure().high) == pytest.approx(
        (expected.low, expected.high)
    )


def test_two_draws_of_each_of_four_seeds_are_wrong_as_often_as_is_said() -> None:
    # 1,000 studies without a difference, 4 seeds of 2 draws, 20 prompts: upstream sd 1, algorithm
    # and rest .2. 5 % exclude zero; three errors are 3 * sqrt(.05 * .95 / 1000) = 0.021. Eight rows
    # that count as eight seeds are wrong in about 20 %.
    random, seeds = np.random.default_rng(3), [1, 1, 2, 2, 3, 3, 4, 4]
    wrong = np.zeros(2)
    for _ in range(1000):
        rows = np.repeat(random.normal(size=(4, 1)), 2, axis=0) + 0.2 * random.normal(size=(8, 1))
        table = (rows + 0.2 * random.normal(size=(8, 20))).tolist()
        wrong += [crossed(table, own).p(0.0) < 0.05 for own in (seeds, ())]
    of_seeds, of_rows = wrong / 1000
    assert of_seeds <= 0.05 + 0.021
    assert of_rows > 0.15
