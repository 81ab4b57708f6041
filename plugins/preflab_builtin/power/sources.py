"""Where the variance of a claim's difference comes from: other seeds, other prompts, and, of the
seeds, the stages before the algorithm and the algorithm itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preflab_builtin.report.claims import Decision
from preflab_builtin.report.differences import (
    Difference,
    PartsOfPeople,
    by_seed,
    crossed_error,
    freedoms,
    mean_squares,
)
from preflab_builtin.report.runs import Draw, RunResult

ONE_ALGORITHM_SEED = (
    "The parts of the upstream stages and of the algorithm cannot be told apart: each seed has one "
    "run of an arm. Runs with seed=1,2,3 algorithm.seed=1,2 tell them apart."
)
ONE_UPSTREAM = (
    "All runs of an arm share their upstream stages: what these vary is not in any number here."
)
NO_CASES = (
    "The part of the prompts cannot be told from that of the seeds: the claim has one value for "
    "each seed (a curve, or a measure without values by prompt, question or document)."
)


@dataclass(frozen=True)
class Sources:
    """Variance of one difference (of one seed and one prompt) by source.

    seeds, cases: of how many seeds, and prompts, questions or documents (0: not by these). seed:
    between seeds, each the mean of its draws (`by_seed`). upstream: between the upstream stages;
    algorithm: between draws that share them (both None: cannot be told apart). prompt: between
    prompts; rest: what neither seeds nor prompts explain, such as one response to one prompt (None:
    within seed). unknown: what cannot be told apart, and why. upstream_counts, algorithm_counts:
    how much of either variance the mean has, the sum of the squared weights of those upstream
    stages, and of the draws. people: of a measure that people gave, whose parts are in the place of
    prompt and rest.
    """

    seeds: int
    cases: int
    seed: float
    upstream: float | None
    algorithm: float | None
    prompt: float | None
    rest: float | None
    unknown: tuple[str, ...]
    upstream_counts: float
    algorithm_counts: float
    people: PartsOfPeople | None = None

    def error(self, seeds: int) -> tuple[float, float]:
        """Standard error of the mean difference with so many seeds and the same prompts, and its
        degrees of freedom (2 seeds or more). People are the same too."""
        if self.people is not None:
            within, now = self.people.within, self.people.within / self.seeds
            about = max(0.0, self.people.about - now) + within / seeds
            return replace(self.people, about=about).error(self.seed + within, seeds)
        if self.prompt is None or self.rest is None:
            return math.sqrt(self.seed / seeds), seeds - 1
        expected = {
            "seed": self.rest + self.cases * self.seed,
            "prompt": self.rest + seeds * self.prompt,
            "rest": self.rest,
        }
        return crossed_error(expected, freedoms(seeds, self.cases), seeds * self.cases)

    def of_the_mean(self) -> dict[str, float]:
        """Variance of the mean difference by source, at the seeds there are."""
        parts = {"seeds": self.seed / self.seeds}
        if self.upstream is not None and self.algorithm is not None:
            parts = {
                "upstream": self.upstream * self.upstream_counts,
                "algorithm": self.algorithm * self.algorithm_counts,
            }
        if self.prompt is not None and self.rest is not None:
            parts["prompts"] = self.prompt / self.cases
            parts["rest"] = self.rest / self.seeds / self.cases
        if self.people is not None:
            rest = self.people.within / self.seeds
            parts["prompts"] = max(0.0, self.people.about - self.people.people - rest)
            parts |= {"people": self.people.people, "rest": rest}
        return parts


def sources(decision: Decision) -> Sources | None:
    """The sources of a claim's difference; None with fewer than two seeds, or without a
    difference."""
    found = decision.difference
    if found is None or len(found.gaps.by_draw) < 2:
        return None
    upstream_of = [_upstream(draw, runs) for draw, runs in decision.draws.items()]
    return of_difference(found, upstream_of)


def of_difference(found: Difference, upstream_of: Sequence[Hashable]) -> Sources:
    """The sources of a difference of two draws or more. upstream_of: what identifies the upstream
    stages of each draw."""
    gaps, table = found.gaps, np.asarray(found.gaps.by_case)
    draws, cases = len(gaps.by_draw), table.shape[1] if table.size and table.shape[1] > 1 else 0
    of_seeds, unknown = by_seed(gaps.by_draw, gaps.seeds), list[str]()
    seed, seeds = float(of_seeds.var(ddof=1)), len(of_seeds)
    prompt = rest = None
    if cases:
        square = mean_squares(by_seed(gaps.by_case, gaps.seeds))
        rest = square["rest"]
        seed = max(0.0, (square["seed"] - rest) / cases)
        prompt = max(0.0, (square["prompt"] - rest) / seeds)
    elif gaps.people is not None:
        seed = max(0.0, seed - gaps.people.within)
    else:
        unknown.append(NO_CASES)
    upstream = algorithm = None
    if len(set(upstream_of)) == 1:
        unknown.append(ONE_UPSTREAM)
    elif len(set(upstream_of)) == draws:
        unknown.append(ONE_ALGORITHM_SEED)
    else:
        between, within = nested(gaps.by_draw, upstream_of)
        of_one_draw = mean_squares(table)["rest"] / cases if cases else 0.0
        if gaps.people is not None:
            of_one_draw = gaps.people.within
        upstream, algorithm = between, max(0.0, within - of_one_draw)
    weights = by_seed(np.eye(draws).tolist(), gaps.seeds).mean(axis=0)
    of_upstream = dict[Hashable, float]()
    for group, weight in zip(upstream_of, weights.tolist(), strict=True):
        of_upstream[group] = of_upstream.get(group, 0.0) + weight
    return Sources(
        *(seeds, cases, seed, upstream, algorithm, prompt, rest, tuple(unknown)),
        upstream_counts=sum(weight**2 for weight in of_upstream.values()),
        algorithm_counts=float((weights**2).sum()),
        people=gaps.people,
    )


def nested(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    """Variance between groups and within them: one-way random effects, from the mean squares of
    groups of any sizes (Searle, Casella and McCulloch 1992). Some group has several values.

    >>> nested([1.0, 3.0, 6.0, 8.0], ["a", "a", "b", "b"])  # MS 25 and 2: (25 - 2) / 2
    (11.5, 2.0)
    """
    members: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    n, k, mean = len(values), len(members), sum(values) / len(values)
    sizes = {group: len(own) for group, own in members.items()}
    means = {group: sum(own) / len(own) for group, own in members.items()}
    within = sum((v - means[g]) ** 2 for g, own in members.items() for v in own) / (n - k)
    between = sum(sizes[g] * (means[g] - mean) ** 2 for g in members) / (k - 1)
    size = (n - sum(s**2 for s in sizes.values()) / n) / (k - 1)
    return max(0.0, (between - within) / size), within


def _upstream(draw: Draw, runs: Mapping[str, RunResult]) -> Hashable:
    """What identifies the stages before the algorithm: their recipes in the longest run of a draw;
    the seed if it has none."""
    longest = max(runs.values(), key=lambda run: len(run.stages))
    later = ("algorithm", "evaluation")
    return tuple(row.recipe for row in longest.stages if row.stage not in later) or draw.seed
