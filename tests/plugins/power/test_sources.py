"""Where the variance of a difference comes from: against simulated sources and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from preflab_builtin.power.sources import (
    NO_CASES,
    ONE_ALGORITHM_SEED,
    ONE_UPSTREAM,
    nested,
    of_difference,
)
from preflab_builtin.report.differences import Difference, Gaps, crossed


def _by_seed(*gaps: float) -> Difference:
    return Difference(sum(gaps) / len(gaps), 7, Gaps(gaps))


def test_seeds_alone() -> None:
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 over 2 degrees of freedom: variance 7.
    found = of_difference(_by_seed(1.0, 2.0, 6.0), ["a", "b", "c"])
    assert (found.seed, found.prompt, found.upstream) == (7.0, None, None)
    assert found.unknown == (NO_CASES, ONE_ALGORITHM_SEED)
    assert found.error(7) == pytest.approx((1.0, 6))  # sqrt(7 / 7)
    assert found.of_the_mean() == {"seeds": pytest.approx(7 / 3)}


def test_upstream_stages_that_all_share_are_in_no_number() -> None:
    found = of_difference(_by_seed(1.0, 2.0, 6.0), ["a", "a", "a"])
    assert ONE_UPSTREAM in found.unknown
    assert (found.upstream, found.algorithm) == (None, None)


def test_upstream_and_algorithm_are_told_apart_where_seeds_are_nested() -> None:
    # Groups 1, 3 and 6, 8: means 2 and 7 around 4.5, MS between 25, within 2: (25 - 2) / 2.
    found = of_difference(_by_seed(1.0, 3.0, 6.0, 8.0), ["a", "a", "b", "b"])
    assert (found.upstream, found.algorithm) == (11.5, 2.0)
    # Groups of 3, 1 and 2: mean size (6 - 14 / 6) / 2 = 11 / 6; means 2, 5, 7 around 25 / 6. MS
    # between: (3 * 4.694 + 0.694 + 2 * 8.028) / 2 = 15.417, within: (2 + 0 + 2) / 3 = 1.333;
    # (15.417 - 1.333) * 6 / 11 = 7.682.
    between, within = nested([1.0, 2.0, 3.0, 5.0, 6.0, 8.0], list("aaabcc"))
    assert (between, within) == pytest.approx((7.682, 4 / 3), abs=1e-3)


def test_sources_of_a_table_are_those_that_made_it() -> None:
    # 60 upstream seeds of 2 algorithm seeds, 80 prompts: upstream sd 2, algorithm 1, prompts 3,
    # rest 4. A variance of f degrees of freedom has an error of sqrt(2 / f): three of them are 55 %
    # of upstream's and of the algorithm's (60), and 47 % of the prompts' (79).
    random = np.random.default_rng(2)
    upstream = np.repeat(2 * random.normal(size=60), 2)[:, None]
    table = upstream + random.normal(size=(120, 1)) + 3 * random.normal(size=(1, 80))
    table = table + 4 * random.normal(size=(120, 80))
    keys = [str(i // 2) for i in range(120)]
    found = of_difference(crossed(table.tolist()), keys)
    assert found.upstream == pytest.approx(4.0, rel=0.55)
    assert found.algorithm == pytest.approx(1.0, rel=0.55)
    assert found.seed == pytest.approx(5.0, rel=0.55)
    assert found.prompt == pytest.approx(9.0, rel=0.47)
    assert found.rest == pytest.approx(16.0, rel=0.05)
    assert found.unknown == ()
    assert set(found.of_the_mean()) == {"upstream", "algorithm", "prompts", "rest"}


def test_the_error_at_the_seeds_there_are_is_that_of_the_interval() -> None:
    random = np.random.default_rng(4)
    table = 2 * random.normal(size=(5, 1)) + random.normal(size=(1, 30))
    table = table + random.normal(size=(5, 30))
    difference = crossed(table.tolist())
    found = of_difference(difference, list("abcde"))
    assert found.error(5) == pytest.approx((difference.below, difference.freedom))
    # Any number of seeds leaves the part of the prompts, and what it is known by.
    assert found.prompt is not None
    error, freedom = found.error(1_000_000)
    assert error == pytest.approx((found.prompt / 30) ** 0.5, rel=0.01)
    assert freedom == pytest.approx(29, rel=0.01)


def test_more_draws_of_a_seed_do_not_lessen_the_part_of_its_upstream_stages() -> None:
    # Seeds a: 1, 3; b: 6, 8. Seed means 2 and 7: variance 12.5, of the mean 12.5 / 2 = 6.25. Of it
    # upstream 11.5 / 2 = 5.75, two seeds; algorithm 2 / 4 = 0.5, four draws.
    found = of_difference(
        Difference(4.5, 7, Gaps((1.0, 3.0, 6.0, 8.0), (), ("a", "a", "b", "b"))), list("aabb")
    )
    assert (found.seeds, found.seed) == (2, 12.5)
    assert found.of_the_mean() == pytest.approx({"upstream": 5.75, "algorithm": 0.5})
    assert found.error(2) == pytest.approx((6.25**0.5, 1))


def test_the_parts_of_draws_by_prompt_are_those_of_the_interval() -> None:
    # 30 seeds of 2 draws, 40 prompts: the parts add up to the squared error of the mean. In a
    # balanced table the mean squares give this exactly, as long as none is cut off at zero.
    random = np.random.default_rng(5)
    rows = np.repeat(2 * random.normal(size=(30, 1)), 2, axis=0) + random.normal(size=(60, 1))
    table = (rows + random.normal(size=(1, 40)) + random.normal(size=(60, 40))).tolist()
    seeds = [i // 2 for i in range(60)]
    difference = crossed(table, seeds)
    found = of_difference(difference, seeds)
    assert sum(found.of_the_mean().values()) == pytest.approx(difference.below**2, rel=0.01)
