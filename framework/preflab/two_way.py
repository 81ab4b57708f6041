"""Intervals of a mean over prompts that several people judged, about other prompts and about other
people: two-way random effects where most cells of the table prompt x labeler are empty.

Model: y = mu + a(prompt) + b(labeler) + e, all independent. The variances of a, b and e are the
solutions of three moment equations (sums of squares of prompts, of labelers and of cells equal
their expectations, as in Henderson 1953), which hold whatever cells are filled. On a full table the
variance is that of a two-way analysis of variance. Both what people say of a run and the claims on
it have their intervals from here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preflab import intervals
from preflab.interfaces import Measure

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The filled cells of a table prompt x labeler: values [N], their weights, and the
    cluster and the labeler of each, as indices. prompts: how many there are."""

    value: Floats
    weight: Floats
    cluster: Ints
    labeler: Ints
    prompts: int

    @property
    def mean(self) -> float:
        """The weighted mean; nan without values."""
        if not len(self.value):
            return math.nan
        return float(self.weight @ self.value) / float(self.weight.sum())

    def by_cluster(self) -> tuple[list[float], list[float]]:
        """Weighted sum of values and sum of weights of each cluster, for `intervals.ratio`."""
        sums = np.bincount(self.cluster, self.weight * self.value)
        return sums.tolist(), np.bincount(self.cluster, self.weight).tolist()


def cells(
    values: Sequence[float],
    prompts: Sequence[Hashable],
    labelers: Sequence[Hashable],
    clusters: Sequence[Hashable] | None = None,
    weigh_values: bool = False,
) -> Cells:
    """The mean of the values of each labeler on each prompt. clusters: what is sampled, such as the
    group of each prompt; None: the prompts. Every prompt weighs the same, however many people
    judged it; with ``weigh_values`` every value does."""
    prompt, labeler = _numbered(prompts), _numbered(labelers)
    cluster = prompt if clusters is None else _numbered(clusters)
    if not len(prompt):
        return Cells(np.zeros(0), np.zeros(0), cluster, labeler, 0)
    _, first, cell = np.unique(
        prompt * (int(labeler.max()) + 1) + labeler, return_index=True, return_inverse=True
    )
    count = np.bincount(cell).astype(float)
    value = np.bincount(cell, np.asarray(values, dtype=float)) / count
    weight = count if weigh_values else 1 / np.bincount(prompt[first])[prompt[first]]
    return Cells(value, weight, cluster[first], labeler[first], int(prompt.max()) + 1)


def _numbered(names: Sequence[Hashable]) -> Ints:
    place = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names], dtype=np.int64)


def mean_about_people(table: Cells, least: float, most: float) -> Measure:
    """Mean over prompts of the mean over their labelers, with an interval about other prompts and
    other people. n: prompts.

    Student's t with Satterthwaite's degrees of freedom. If labelers differ no more than chance
    would have them differ, only prompts vary. Where nothing varies, which does not make it certain,
    the interval is that of `intervals.bounded_ratio` over prompts. No interval for one prompt or
    fewer than two labelers.

    Covers the truth in 94 to 97.5 % of simulated rounds with 5 and with 20 labelers, whether one
    person judges a prompt or all do (tests/people/statistics/test_coverage.py).
    """
    value = table.mean
    bare = Measure(value, n=table.prompts, least=least, most=most)
    if min(len(set(table.cluster.tolist())), len(set(table.labeler.tolist()))) < 2:
        return bare
    found = variances(table)
    half = intervals.t_quantile(found.freedom) * math.sqrt(max(found.of_mean, 0.0))
    measure = replace(bare, low=value - half, high=value + half)
    return intervals.within(_honest(measure, table, least, most), least, most)


def mean_about_prompts(table: Cells, least: float, most: float) -> Measure:
    """The same mean with an interval about other prompts alone, these people as they are."""
    measure = replace(intervals.ratio(*table.by_cluster()), n=table.prompts)
    return intervals.within(_honest(measure, table, least, most), least, most)


def _honest(measure: Measure, table: Cells, least: float, most: float) -> Measure:
    """The measure with another interval where nothing varies."""
    if not intervals.without_spread(measure):
        return measure
    if not math.isfinite(most - least):
        return replace(measure, low=math.nan, high=math.nan)
    bounded = intervals.bounded_ratio(*table.by_cluster(), least, most)
    return replace(measure, low=bounded.low, high=bounded.high)


def by_labeler(table: Cells, least: float, most: float) -> Measure:
    """Mean over labelers of each one's mean, with Student's t over labelers: beside the other where
    they are few. n: labelers."""
    count = np.bincount(table.labeler)
    means = np.bincount(table.labeler, table.value) / count
    return intervals.within(intervals.t_interval(means.tolist()), least, most)


@dataclass(frozen=True)
class Variances:
    """Variances of prompts, labelers and the rest, and of the mean, with the degrees of freedom of
    its interval. The first three are not cut at 0. of_prompts: of the mean if only prompts varied,
    with one degree of freedom less than there are clusters; of_labelers: what labelers add to
    of_mean."""

    prompt: float
    labeler: float
    rest: float
    of_mean: float
    freedom: float
    of_prompts: float
    of_labelers: float


def variances(table: Cells) -> Variances:
    """The variance components of a table of at least two clusters and two labelers."""
    w, p, k = table.weight / table.weight.sum(), table.cluster, table.labeler
    r = table.value - table.mean
    by_p, by_k = np.bincount(p, w), np.bincount(k, w)
    squares_p, squares_k = np.bincount(p, w**2), np.bincount(k, w**2)
    of_mean = np.array([(by_p**2).sum(), (by_k**2).sum(), (w**2).sum()])
    a, b, e = of_mean
    crossed = _squares_of_cells(w, p, k) - 2 * (w * by_p[p] * by_k[k]).sum() + a * b
    expected = [
        [(by_p**2 * (1 - 2 * by_p + a)).sum(), crossed, (squares_p * (1 - 2 * by_p)).sum() + a * e],
        [crossed, (by_k**2 * (1 - 2 * by_k + b)).sum(), (squares_k * (1 - 2 * by_k)).sum() + b * e],
        [(w**2 * (1 - 2 * x + y)).sum() for x, y in ((by_p[p], a), (by_k[k], b), (w, e))],
    ]
    found = [np.bincount(p, w * r) ** 2, np.bincount(k, w * r) ** 2, (w * r) ** 2]
    squares = np.array([float(x.sum()) for x in found])
    # Once each: prompts and the rest cannot be told apart, but their sum can.
    components = np.linalg.pinv(np.array(expected), rcond=1e-9) @ squares
    alone, labeler_alone = squares[0] / (1 - a), squares[1] / (1 - b)
    total, noise = alone, alone**2 / (len(by_p) - 1)
    if components[1] > 0:
        total = max(float(of_mean @ components), alone)
        noise += labeler_alone**2 / (len(by_k) - 1)
    return Variances(
        prompt=float(components[0]),
        labeler=float(components[1]),
        rest=float(components[2]),
        of_mean=float(total),
        freedom=float(total**2 / noise) if noise > 0 else math.inf,
        of_prompts=float(alone),
        of_labelers=float(min(max(b * components[1], 0.0), total)),
    )


def _squares_of_cells(weight: Floats, cluster: Ints, labeler: Ints) -> float:
    """Sum of squared weights of cluster x labeler; a cluster may hold several prompts."""
    _, place = np.unique(cluster * (int(labeler.max()) + 1) + labeler, return_inverse=True)
    return float((np.bincount(place, weight) ** 2).sum())
