"""How often a two-sided t test finds a difference that is there, by the noncentral t distribution
(Cohen 1988), and what follows from it."""

from __future__ import annotations

import math
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

    >>> round(power(1.0, 0.5, 3), 4)  # 4 seeds, one standard deviation: as statsmodels' TTestPower
    0.2888
    """
    from scipy import special

    if error == 0:
        return float(difference != 0)
    t, centre = t_quantile(freedom, level), abs(difference) / error
    # The square of a noncentral t is a noncentral F, whose numbers are right further out.
    found = 1 - float(special.ncfdtr(1, freedom, centre**2, t**2))
    return float(centre > t) if math.isnan(found) else found  # nan: far beyond either end


def detectable(error: float, freedom: float, level: float = LEVEL) -> float:
    """The true difference that is found with the wanted power. level: of the interval that decides.

    >>> round(detectable(0.5, 3), 4)  # 4 seeds, standard deviation 1: as statsmodels' TTestPower
    2.1279
    """
    from scipy.optimize import brentq

    # With one degree of freedom t is 12.7, and 80 % of estimates have less than 1.28 of the error.
    most = 1.3 * t_quantile(freedom, level) + 1

    def lacks(ratio: float) -> float:
        return power(ratio, 1.0, freedom, level) - WANTED

    return error * float(brentq(lacks, 0.0, most))


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
