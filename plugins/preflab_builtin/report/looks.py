"""Corrections of a claim's interval: for repeated looks while seeds are added, and for the number
of claims.

Looks. A study that stops when its claims are decided looks at them after every block of seeds, and
each look is another chance to be wrong. So each look has a smaller level of its own. The
probability of a false verdict that may be spent until there are n of N seeds is
alpha (n / N)^1.5 (Lan and DeMets 1983; Kim and DeMets 1987 give this family), and the levels of the
looks follow from it. They are those of Student's t itself, from simulated studies without a
difference: levels from the normal distribution, as in Jennison and Turnbull (2000), lead to 5.2 to
5.8 % false verdicts with 4 to 24 seeds. An interval at the level of its look covers the true
difference at all looks together with 95 % (a repeated confidence interval, Jennison and Turnbull
1989), whatever made the study stop.

Claims. Holm (1979): the smallest of m p-values times m, the next times m - 1, and so on; the
probability of any false verdict in the study is at most 5 %, however the claims depend on each
other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from preflab.intervals import LEVEL

SPENDING = 1.5
"""Exponent of the spending function: 1 decides large differences after fewer seeds, 2 small ones
more often."""
SIMULATED = 2**18
"""Simulated studies: the error of a level of 0.01 is 2 %."""
_ALPHAS = [*np.geomspace(5e-4, 1 - LEVEL, 12)[:-1], 1 - LEVEL, *np.geomspace(1 - LEVEL, 0.5, 8)[1:]]
"""Probabilities of a false verdict at all looks together for which the levels are computed."""


def level_of(looks: Sequence[int], number: int) -> float:
    """Probability with which an interval must cover the true value at a look. looks: the number of
    seeds at each of them; number: of the look, from 0.

    >>> level_of([12], 0)
    0.95
    >>> round(level_of([4, 8, 12], 0), 3)
    0.99
    """
    if len(looks) == 1:
        return LEVEL
    levels = _levels(tuple(looks))
    return 1 - float(levels[_ALPHAS.index(1 - LEVEL), number])


def repeated_p(p: float, looks: Sequence[int], number: int) -> float:
    """The p-value that counts at all looks together: the smallest probability of a false verdict
    with which this look decides (Jennison and Turnbull 1989). p: the plain one of the look."""
    if len(looks) == 1 or math.isnan(p):
        return p
    levels = _levels(tuple(looks))[:, number]
    if p <= levels[0]:
        # Below the least alpha the share that this look has of all false verdicts is that at it.
        return float(p * _ALPHAS[0] / levels[0])
    if p >= levels[-1]:
        return 1.0
    known = np.interp(math.log(p), np.log(levels), np.log(_ALPHAS))
    return math.exp(float(known))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979); nan stands for no claim.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = list(p_values), 0.0
    for place, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - place) * p))
        corrected[i] = largest
    return corrected


def _spent_at(looks: Sequence[int], number: int) -> float:
    """Share of all false verdicts that a look may add."""
    before = looks[number - 1] if number else 0
    shares = [(seeds / looks[-1]) ** SPENDING for seeds in (before, looks[number])]
    return float(shares[1] - shares[0])


@cache
def _levels(looks: tuple[int, ...]) -> NDArray[np.float64]:
    """Level of each look [alphas, looks]: two-sided probabilities of Student's t with one degree of
    freedom less than there are seeds."""
    from scipy import stats

    statistics = _simulated(looks)
    freedom = np.asarray(looks) - 1
    levels = np.empty((len(_ALPHAS), len(looks)))
    for row, alpha in enumerate(_ALPHAS):
        going_on = np.ones(SIMULATED, dtype=bool)
        for number, column in enumerate(statistics):
            spent = alpha * _spent_at(looks, number)
            t, ends = column[going_on], round(spent * SIMULATED)
            limit = (
                float(np.partition(t, len(t) - ends)[len(t) - ends])
                if number and ends
                # The first look needs no simulation. A later one that may spend less than one
                # simulated study (of many looks) has a level that spends no more than that.
                else stats.t.isf(spent / 2, freedom[number])
            )
            levels[row, number] = 2 * stats.t.sf(limit, freedom[number])
            going_on &= column < limit
    return np.maximum.accumulate(levels, axis=0)  # a larger alpha never has a smaller level


def _simulated(looks: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """|t| at each look of studies without a difference; the random numbers are fixed."""
    random = np.random.default_rng(0)
    total, squares, have = np.zeros(SIMULATED), np.zeros(SIMULATED), 0
    statistics = []
    for seeds in looks:
        for _ in range(seeds - have):
            new = random.standard_normal(SIMULATED)
            total += new
            squares += new**2
        have = seeds
        spread = np.sqrt((squares - total**2 / seeds) / (seeds - 1))
        statistics.append(np.abs(total) / seeds / (spread / math.sqrt(seeds)))
    return statistics
