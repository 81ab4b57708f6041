"""Intervals against theory, tables and values worked out by hand."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest

from preflab import intervals
from preflab.interfaces import Measure


def test_examples() -> None:
    assert doctest.testmod(intervals).failed == 0


def test_ratio_is_the_ratio_of_sums_and_leaves_out_empty_units() -> None:
    # (1 + 2 + 4) / (2 + 2 + 8) = 7/12; the unit without a denominator is not a unit
    measure = intervals.ratio([1, 2, 0, 4], [2, 2, 0, 8])
    assert measure.value == pytest.approx(7 / 12)
    assert measure.n == 3
    assert measure.low < measure.value < measure.high


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    measure = intervals.mean(values.tolist())
    half = 1.96 * values.std(ddof=1) / 20  # normal theory: 1.96 s / sqrt(400)
    assert measure.high - measure.low == pytest.approx(2 * half, rel=0.08)
    assert intervals.mean(values.tolist()) == measure  # fixed random numbers


def test_within_cuts_the_interval_to_the_possible_range() -> None:
    # Student's t over 1, 1, 0 is .667 +- 1.43: a share cannot be below 0 or above 1
    wide = intervals.mean([1.0, 1.0, 0.0])
    assert wide.low < 0 < 1 < wide.high
    cut = intervals.within(wide, 0.0, 1.0)
    assert cut == replace(wide, low=0.0, high=1.0, least=0.0, most=1.0)
    # an estimate beyond the range keeps its interval, whose end would be the estimate itself
    assert intervals.within(Measure(-0.1, -0.3, 0.1, 9), 0.0, math.inf).low == -0.3
    assert math.isnan(intervals.within(intervals.mean([]), 0.0, 1.0).value)


def test_the_bootstrap_draws_whole_units() -> None:
    # 100 units of 50 equal outcomes each are 100 cases: the half-width is
    # 1.96 * 0.5 / sqrt(100) = 0.098, not 0.014
    wins = [50.0 if i % 2 else 0.0 for i in range(100)]
    measure = intervals.ratio(wins, [50.0] * 100)
    assert measure.value == 0.5
    assert (measure.high - measure.low) / 2 == pytest.approx(0.098, rel=0.08)


def test_few_units_get_students_t() -> None:
    # values 1, 2, 3, 6: mean 3, s = sqrt(14 / 3) = 2.1602, t(3, .975) = 3.1824:
    # 3.1824 * 2.1602 / 2 = 3.4374
    measure = intervals.mean([1, 2, 3, 6])
    assert (measure.value, measure.n) == (3.0, 4)
    assert measure.high - 3.0 == pytest.approx(3.4374, abs=1e-3)
    assert 3.0 - measure.low == pytest.approx(3.4374, abs=1e-3)
    # a ratio: residuals 1 - 0.5 * 4, 3 - 0.5 * 4 = -1, 1: t(1, .975) = 12.706 * sqrt(2 * 2) / 8
    assert intervals.ratio([1, 3], [4, 4]).high == pytest.approx(0.5 + 12.7062 * 2 / 8, abs=1e-3)


def test_t_interval_by_hand() -> None:
    # values 1, 2, 3, 6: s = sqrt(14 / 3) = 2.1602, t(3, .975) = 3.1824: 3.1824 * 2.1602 / 2
    measure = intervals.t_interval([1.0, 2.0, 3.0, 6.0])
    assert (measure.value, measure.n) == (3.0, 4)
    assert measure.low == pytest.approx(3.0 - 3.4374, abs=1e-4)
    assert measure.high == pytest.approx(3.0 + 3.4374, abs=1e-4)
    for values in ([2.0], [2.0, 2.0]):  # which do not show how far they vary
        bare = intervals.t_interval(values)
        assert (bare.value, bare.n) == (2.0, len(values))
        assert math.isnan(bare.low)
    assert math.isnan(intervals.t_interval([]).value)


def test_t_interval_and_ratio_agree_on_few_values() -> None:
    values = [0.3, 0.9, 0.1, 0.5, 0.45]
    one, other = intervals.t_interval(values), intervals.mean(values)
    assert one.low == pytest.approx(other.low)
    assert one.high == pytest.approx(other.high)


def test_t_quantile_is_that_of_the_table() -> None:
    assert intervals.t_quantile(1) == pytest.approx(12.7062, abs=1e-4)
    assert intervals.t_quantile(3) < intervals.t_quantile(2.5) < intervals.t_quantile(2)
    assert intervals.t_quantile(1e9) == pytest.approx(1.959964, abs=1e-6)


def test_degenerate_intervals() -> None:
    assert math.isnan(intervals.mean([]).value)
    # Equal values of no known range have no interval, be they 1, 2 or many; in a range they have.
    for count in (1, 2, 20):
        alike = intervals.mean([0.5] * count)
        assert (alike.value, alike.n) == (0.5, count)
        assert math.isnan(alike.low)
        assert math.isnan(alike.high)
        assert intervals.without_spread(alike) == (count > 1)
    bounded = intervals.bounded_mean([0.5] * 20)
    assert bounded.low < 0.5 < bounded.high


def test_share_stays_honest_at_the_edge() -> None:
    # Wilson at k = n: low = n / (n + z^2) = 20 / (20 + 3.8415) = 0.8389
    measure = intervals.share([True] * 20)
    assert (measure.value, measure.high) == (1.0, 1.0)
    assert measure.low == pytest.approx(0.8389, abs=1e-4)


def test_a_bounded_mean_of_outcomes_is_wilsons() -> None:
    # 10 of 10: low = 10 / (10 + z^2) = 10 / 13.8415 = .7225; 0 of 10 is its mirror image
    wins, losses = intervals.bounded_mean([1.0] * 10), intervals.bounded_mean([0.0] * 10)
    assert (wins.low, wins.high) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert (losses.low, losses.high) == pytest.approx((0.0, 0.2775), abs=1e-4)
    some = [True, True, False, True, False, False, False]
    share = intervals.share(some)
    mean = intervals.bounded_mean([float(outcome) for outcome in some])
    assert (mean.low, mean.high) == pytest.approx((share.low, share.high))


def test_a_bounded_mean_has_the_range_of_its_values() -> None:
    # Ratings 7, 7, 7, 7 of 1 to 7 are 4 of 4: Wilson's low .5101 is 1 + 6 * .5101
    ratings = intervals.bounded_mean([7.0] * 4, 1.0, 7.0)
    assert (ratings.low, ratings.high) == pytest.approx((4.0606, 7.0), abs=1e-4)
    assert (ratings.least, ratings.most) == (1.0, 7.0)
    # Equal values inside of the range: z / (1 + z^2 / 10) * z / 20 = .19208 / 1.38415 about .5
    ties = intervals.bounded_mean([0.5] * 10)
    assert (ties.low, ties.high) == pytest.approx((0.5 - 0.1388, 0.5 + 0.1388), abs=1e-4)
    assert math.isnan(intervals.bounded_mean([]).value)
    assert math.isnan(intervals.bounded_mean([1.0]).low)


def test_values_of_one_unit_are_not_independent() -> None:
    # 100 answers to 10 questions, which agree within a question: as wide as 10 answers
    values = [float(i % 2) for i in range(10) for _ in range(10)]
    units = [i for i in range(10) for _ in range(10)]
    clustered = intervals.bounded_mean(values, units=units)
    ten = intervals.bounded_mean([float(i % 2) for i in range(10)])
    assert (clustered.low, clustered.high) == pytest.approx((ten.low, ten.high))
    assert clustered.n == 10
    assert intervals.bounded_mean(values).high < clustered.high
    mean = intervals.mean(values, units)
    assert (mean.value, mean.n) == (0.5, 10)


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 10, 40])
def test_bounded_intervals_cover_the_truth(count: int) -> None:
    # Outcomes of .9, even values and u-shaped ones (Beta .2, .2), 600 draws each. 95 % is meant;
    # Wilson's own coverage falls to .89 for few outcomes; three standard errors are .027.
    rng = np.random.default_rng(count)
    shape = (600, count)
    samples = [
        (0.9, (rng.random(shape) < 0.9).astype(float)),
        (0.5, rng.random(shape)),
        (0.5, rng.beta(0.2, 0.2, shape)),
    ]
    for truth, draws in samples:
        measures = [intervals.bounded_mean(draw) for draw in draws.tolist()]
        assert sum(m.low <= truth <= m.high for m in measures) / 600 > 0.89 - 0.027
        assert all(0 <= m.low <= m.value <= m.high <= 1 for m in measures)


def test_mean_of_shares_weights_families_equally() -> None:
    # (1.0 + 0.25) / 2, not 14 / 24
    measure = intervals.mean_of_shares([[True] * 4, [True] * 5 + [False] * 15])
    assert measure.value == pytest.approx(0.625)
    # Clopper-Pearson: 4 of 4 is .025^(1/4) = .3976 to 1; 5 of 20 is .0866 to .4910 (its table).
    # Distances below: .6024, .1634; above: 0, .2410.
    # Half-widths sqrt(.6024^2 + .1634^2) / 2 = .3121 and .2410 / 2 = .1205.
    assert measure.low == pytest.approx(0.625 - 0.3121, abs=1e-4)
    assert measure.high == pytest.approx(0.625 + 0.1205, abs=1e-4)
    assert measure.n == 24


def test_families_that_are_all_right_are_not_certain() -> None:
    # Two families of 8 of 8: .025^(1/8) = .6306, distance .3694; sqrt(2 * .3694^2) / 2 = .2612.
    both = intervals.mean_of_shares([[True] * 8] * 2)
    assert (both.value, both.high) == (1.0, 1.0)
    assert both.low == pytest.approx(1 - 0.2612, abs=1e-4)
    # One group has its own interval.
    alone = intervals.mean_of_shares([[True] * 8])
    assert alone.low == pytest.approx(0.6306, abs=1e-4)


@pytest.mark.slow
def test_mean_of_shares_covers_the_truth_in_95_percent() -> None:
    # 1000 draws of four families of 32 with shares 1, .98, .9 and .6: the truth is .87. 95 % cover
    # it on average; three standard errors of that share are 3 * sqrt(.95 * .05 / 1000) = .021.
    shares = (1.0, 0.98, 0.9, 0.6)
    rng = np.random.default_rng(0)
    measures = [
        intervals.mean_of_shares([list(rng.random(32) < p) for p in shares]) for _ in range(1000)
    ]
    assert sum(m.low <= sum(shares) / 4 <= m.high for m in measures) / 1000 > 0.95 - 0.021


def test_decimals_of_an_interval_are_enough_to_see_it() -> None:
    assert intervals.decimals(-0.0004, 0.0004, 3) == 4, "-0.000 and 0.000 are the same number"
    assert intervals.decimals(0.0, 1e-30, 2) == 9, "not without end"
    assert intervals.decimals(float("nan"), float("nan"), 2) == 2
