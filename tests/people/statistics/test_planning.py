"""How much labeling decides what."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from scipy import stats

from preflab_people.statistics import planning
from preflab_people.statistics.planning import (
    agreement_half_width,
    plan,
    standard_error,
    table,
    tasks_for_half_width,
    tasks_to_find,
)


def test_400_prompts_once_each() -> None:
    """1.96 x 0.5 / 20 = 4.9 points; 57 % is found: (1.96 + 0.84) x 0.5 / 20 = 7.0 points."""
    found = plan(400)
    assert round(100 * found.half_width, 1) == 4.9
    assert round(100 * found.finds, 1) == 7.0
    assert math.isnan(found.agreement)


def test_prompts_for_a_half_width_and_for_a_difference() -> None:
    """(1.96 x 0.5 / 0.025)^2 = 1536.6. (2.80 x 0.5 / 0.05)^2 = 784; with unrounded quantiles
    784.9."""
    assert tasks_for_half_width(0.025) == 1537
    assert tasks_to_find(0.55) == tasks_to_find(0.45) == 785
    assert round(100 * plan(784).finds, 1) == 5.0


def test_doubly_ranked_prompts() -> None:
    assert round(100 * agreement_half_width(200, 4), 1) == 3.0
    assert round(100 * agreement_half_width(400, 4), 1) == 2.1
    assert plan(1000, 1.2, responses=4).agreement == pytest.approx(agreement_half_width(200, 4))


def test_a_line_before_labeling() -> None:
    """400 x 1.2 x 90 s = 12 h."""
    made = plan(400, 1.2, 90)
    assert made.sentence().endswith("12 h of people; finds a win rate 7 points from 50 %")
    # In rankings nobody compares two runs: what they tell is whether people agree.
    assert made.sentence("rank").endswith("agreement of two people to within 10 points")
    assert plan(400).sentence("rank").endswith("their agreement will not be known")
    assert plan(1).sentence().startswith("1 task x 1 label, ")


def test_more_people_a_prompt_help_less_than_more_prompts() -> None:
    """At an agreement of 0.73 the variance is 0.115 between prompts and 0.135 within: two labels a
    prompt leave 0.115 + 0.135 / 2 of 0.25, twice the prompts a half."""
    assert standard_error(100, 2.0) ** 2 == pytest.approx((0.115 + 0.135 / 2) / 100)
    assert standard_error(100, 1.2) ** 2 == pytest.approx((0.115 + 0.135 * (0.8 + 0.1)) / 100)
    assert standard_error(200) < standard_error(100, 2.0) < standard_error(100)


def test_the_formula_is_that_of_simulated_verdicts() -> None:
    """Prompts with a probability of 0.5 +- 0.25 to be won: people who take a side agree with
    probability 2 x (0.25 x 0.75) + ... = 1 - 2 x 0.1875 = 0.625. 4,000 rounds of 50 prompts with
    two labels: the standard error within 5 %."""
    random = np.random.default_rng(0)
    won = random.choice([0.25, 0.75], (4000, 50))
    labels = random.random((4000, 50, 2)) < won[..., None]
    spread = float(labels.mean(axis=(1, 2)).std())
    assert standard_error(50, 2.0, agreement=0.625) == pytest.approx(spread, rel=0.05)


def test_the_power_is_that_of_simulated_verdicts() -> None:
    """A win rate of 0.57 and 400 prompts: the share of rounds whose interval excludes 0.5."""
    wins = stats.binom.rvs(400, 0.57, size=20_000, random_state=0)
    found = np.abs(wins / 400 - 0.5) > plan(400).half_width
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_the_correlation_of_pairs_is_that_of_simulated_rankings() -> None:
    """Two people rank four responses whose quality and errors are normal (errors 0.85 of it):
    variance of a prompt's agreement, over that of independent pairs, is 1 + 2 (K - 2) SHARED,
    within 7 %."""
    random = np.random.default_rng(0)
    quality = random.normal(size=(40_000, 1, 4))
    said = quality + 0.85 * random.normal(size=(40_000, 2, 4))
    i, j = np.triu_indices(4, 1)
    first = said[..., i] > said[..., j]
    same = first[:, 0] == first[:, 1]
    p = same.mean()
    inflation = same.mean(axis=1).var() * 6 / (p * (1 - p))
    assert inflation == pytest.approx(1 + 4 * planning.SHARED, rel=0.07)


def test_a_table_has_a_row_for_each() -> None:
    found = table([200, 400], [1.0, 1.2])
    assert [(one.tasks, one.overlap) for one in found] == [
        (200, 1),
        (200, 1.2),
        (400, 1),
        (400, 1.2),
    ]


def test_examples() -> None:
    assert doctest.testmod(planning).failed == 0
