"""How often a two-sided t test finds a difference that is there, by the noncentral t distribution
(Cohen 1988), and what follows from it."""

from __future__ import annotations

from collections.abc import Callable

from preflab.intervals import LEVEL, t_quantile

WANTED = 0.8
"""Power: the probability that a claim is decided."""
MOST_SEEDS = 1000
"""More seeds are not looked for."""


def power(difference: float, error: float, freedom: float, level: float = LEVEL) -> float:
    """Probability that the interval of a mean does not contain zero. difference: the true one;
    error: standard error of the mean; freedom: degrees of freedom of its estimate; level: of the
    interval.

    >>> round(power(1.0, 0.5, 3), 3)  # statsmodels: TTestPower().power(1.0, 4, 0.05) = 0.279
    0.279
    """
    from scipy import stats

    if error == 0:
        return float(difference != 0)
    t, centre = t_quantile(freedom, level), abs(difference) / error
    return float(stats.nct.sf(t, freedom, centre) + stats.nct.cdf(-t, freedom, centre))


def detectable(error: float, freedom: float, level: float = LEVEL) -> float:
    """The true difference that is found with the wanted power.

    >>> round(detectable(0.5, 3), 3)  # statsmodels: solve_power(nobs=4, alpha=0.05, power=0.8)
    2.006
    """
    from scipy.optimize import brentq

    if error == 0:
        return 0.0
    # Student's t with one degree of freedom needs 16 standard errors; smaller levels need more.
    most = 4 * t_quantile(freedom, level) + 10
    ratio = brentq(lambda ratio: power(ratio, 1.0, freedom, level) - WANTED, 0.0, most)
    return float(ratio) * error


def seeds_needed(
    difference: float,
    error_with: Callable[[int], tuple[float, float]],
    level_with: Callable[[int], float] = lambda seeds: LEVEL,
) -> int | None:
    """The fewest seeds that find a true difference with the wanted power; None if not even
    `MOST_SEEDS` do. error_with: standard error and degrees of freedom with so many seeds;
    level_with: level of the interval that decides then."""
    for seeds in _upwards():
        if power(difference, *error_with(seeds), level_with(seeds)) >= WANTED:
            return seeds
    return None


def _upwards() -> list[int]:
    """Numbers of seeds to try: each up to 100, then in steps of about 2 %."""
    numbers = [*range(2, 101)]
    while numbers[-1] < MOST_SEEDS:
        numbers.append(min(MOST_SEEDS, round(numbers[-1] * 1.02)))
    return numbers
