"""Intervals of differences, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from preflab.intervals import t_interval
from preflab_builtin.report.differences import crossed


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
