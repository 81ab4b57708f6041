"""Power of t tests: against the numbers of statsmodels' TTestPower and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from preflab_builtin.power.detecting import MOST_SEEDS, detectable, power, seeds_needed


def _one_sample(seeds: int) -> tuple[float, float]:
    """Error and degrees of freedom of a mean of values with the standard deviation 1."""
    return 1 / math.sqrt(seeds), seeds - 1


@pytest.mark.parametrize(
    "difference,seeds,expected",
    # TTestPower().power(difference, seeds, 0.05) of statsmodels 0.14
    [(1.0, 4, 0.288752), (0.5, 20, 0.564504), (1.7, 4, 0.628873), (1.25, 8, 0.856444)],
)
def test_power_of_a_mean(difference: float, seeds: int, expected: float) -> None:
    assert power(difference, *_one_sample(seeds)) == pytest.approx(expected, abs=1e-6)
    assert power(-difference, *_one_sample(seeds)) == pytest.approx(expected, abs=1e-6)


def test_power_without_a_difference_is_the_level_and_far_away_it_is_certain() -> None:
    assert power(0.0, *_one_sample(5)) == pytest.approx(0.05)
    assert power(0.0, *_one_sample(5), level=0.99) == pytest.approx(0.01)
    for distance in (60.0, 1e3, 1e6):  # where scipy's noncentral t gives nan
        assert [power(distance, 1.0, freedom) for freedom in (2, 3, 23.5)] == [1.0] * 3
    assert (power(0.1, 0.0, 3), power(0.0, 0.0, 3)) == (1.0, 0.0)


@pytest.mark.parametrize(
    "seeds,expected",
    # TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8) of statsmodels 0.14
    [(2, 11.549889), (3, 3.264044), (4, 2.127949), (8, 1.156035)],
)
def test_detectable_difference(seeds: int, expected: float) -> None:
    assert detectable(*_one_sample(seeds)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("seeds,level", [(2, 0.999), (4, 1 - 0.0034), (8, 0.99), (24, 0.96)])
def test_a_look_detects_less(seeds: int, level: float) -> None:
    # The power of the difference at the level of the look is 80 %; that of a 95 % interval is more.
    found = detectable(*_one_sample(seeds), level)
    assert power(found, *_one_sample(seeds), level) == pytest.approx(0.8)
    assert power(found, *_one_sample(seeds)) > 0.8


def test_seeds_that_are_needed() -> None:
    # solve_power(effect_size=d, alpha=0.05, power=0.8) gives 33.4, 9.9, 7.2 and 4.9 seeds.
    found = [seeds_needed(d, _one_sample) for d in (0.5, 1.0, 1.25, 1.7)]
    assert found == [34, 10, 8, 5]
    assert seeds_needed(0.5 / 6, _one_sample) is None  # (1.96 + 0.84)^2 * 144 = 1131 > 1000
    assert seeds_needed(0.09, _one_sample) == pytest.approx(971, rel=0.02)  # in steps of 2 %
    assert seeds_needed(0.0, _one_sample) is None
    assert MOST_SEEDS == 1000
    # A smaller level takes more seeds: solve_power(effect_size=1.25, alpha=0.0067) gives 11.8.
    assert seeds_needed(1.25, _one_sample, lambda seeds: 1 - 0.0067) == 12


def test_power_is_how_often_a_difference_is_found() -> None:
    # 20,000 studies of 6 seeds whose true mean is 1.3 standard deviations: 3 errors are 0.009.
    values = np.random.default_rng(5).normal(1.3, 1.0, (20_000, 6))
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) * math.sqrt(6)
    found = float((np.abs(t) > stats.t.ppf(0.975, 5)).mean())
    assert power(1.3, *_one_sample(6)) == pytest.approx(found, abs=0.009)
