"""Three and more runs on one scale: Bradley-Terry strengths (1952, by evalica), ties half a win for
each.

Intervals are about other prompts and other people, from leaving out one prompt (or group), one
person, and one person's votes on one prompt, as in `resampling`. A bootstrap that draws prompts and
people at once counts the chance of a single vote three times (Owen 2007), and is far too wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import evalica
import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from preflab.interfaces import Measure
from preflab_people.statistics import resampling
from preflab_people.statistics.comparison import arms, verdicts
from preflab_people.statistics.votes import Answered, Floats, cluster_of

DEFINITION = (
    "Bradley-Terry strength in log-odds, their mean 0: the odds that people prefer one run to "
    "another are exp(difference). Ties count as half a win for each. Interval: about other prompts "
    "and other people."
)
NO_INTERVALS = (
    "No intervals of strengths: without one prompt or one person some runs would never lose to the "
    "others. More prompts, or more people, give them."
)
TOLERANCE, LIMIT = 1e-10, 10_000


@dataclass(frozen=True)
class Strengths:
    """Strengths of runs. better: for each pair of runs the probability that people prefer the
    first to the second. problem: why there are none, or why they have no intervals."""

    strength: dict[str, Measure]
    better: dict[tuple[str, str], Measure]
    definition: str = DEFINITION
    problem: str = ""


def strengths(answered: Sequence[Answered]) -> Strengths:
    """The strengths of all runs that the tasks name. None if some runs never lose to the rest, or
    were never compared with it: then strengths are infinite or arbitrary."""
    names = arms([one.task for one in answered])
    table = _Wins(answered, names)
    value = _fit(table.total)
    if value is None:
        reason = "some runs never lose to the others, or were not compared with them"
        return Strengths({}, {}, problem=f"No strengths: {reason}. The win rates say which.")
    left = table.left_out()

    def measure(weights: Floats) -> Measure:
        middle = float(value @ weights)
        if left is None:
            return Measure(middle, n=table.people)
        cluster, person, cell = (some @ weights for some in left)
        return resampling.about_people(middle, cluster, person, cell, pairs_of_people=False)

    unit = np.eye(len(names))
    pairs = {
        (names[i], names[j]): _as_probability(measure(unit[i] - unit[j]))
        for i, j in combinations(range(len(names)), 2)
    }
    strength = {name: measure(unit[i]) for i, name in enumerate(names)}
    return Strengths(strength, pairs, problem="" if left is not None else NO_INTERVALS)


class _Wins:
    """Wins of runs over runs [A, A] by cluster and labeler."""

    def __init__(self, answered: Sequence[Answered], names: Sequence[str]) -> None:
        cell: dict[tuple[str, str], Floats] = {}
        for (i, a), (j, b) in combinations(enumerate(names), 2):
            for verdict in verdicts(answered, a, b):
                key = cluster_of(verdict.one.task), verdict.one.labeler
                wins = cell.setdefault(key, np.zeros((len(names), len(names))))
                wins[i, j] += verdict.value
                wins[j, i] += 1 - verdict.value
        self.cells = cell
        self.total: Floats = sum(cell.values(), np.zeros((len(names), len(names))))

    @property
    def people(self) -> int:
        """How many people gave verdicts."""
        return len({labeler for _, labeler in self.cells})

    def left_out(self) -> tuple[Floats, Floats, Floats] | None:
        """Strengths without each cluster, each labeler, each cell [., A]; None if some of these do
        not exist: those would differ most, so that an interval without them would be too narrow."""
        cluster, person, cell = self._without(0), self._without(1), self._without(None)
        if cluster is None or person is None or cell is None:
            return None
        return cluster, person, cell

    def _without(self, part: int | None) -> Floats | None:
        parts: dict[object, Floats] = {}
        for key, wins in self.cells.items():
            name = key if part is None else key[part]
            parts[name] = parts.get(name, 0.0) + wins
        found = [_fit(self.total - wins) for wins in parts.values()]
        kept = [values for values in found if values is not None]
        return np.array(kept) if len(kept) == len(found) else None


def _fit(wins: Floats) -> Floats | None:
    """Log-strengths [A] with mean 0; None if they do not exist (Ford 1957): every run must win
    something, directly or through others, against every other."""
    count = len(wins)
    if count < 2 or connected_components(wins > 1e-9, connection="strong")[0] > 1:
        return None
    first, second = (index.tolist() for index in np.nonzero(wins))
    scores = evalica.bradley_terry(
        first,
        second,
        [evalica.Winner.X] * len(first),
        weights=wins[first, second].tolist(),
        tolerance=TOLERANCE,
        limit=LIMIT,
    ).scores
    logs = np.log(scores.reindex(range(count)).to_numpy(dtype=float))
    return np.asarray(logs - logs.mean())


def _as_probability(difference: Measure) -> Measure:
    """A difference of strengths as the probability that it means."""
    ends = difference.value, difference.low, difference.high
    value, low, high = (float(expit(odds)) for odds in ends)
    return Measure(value, low, high, difference.n, 0.0, 1.0)
