"""Where the variance of a claim's difference comes from: other seeds, other prompts, and, of the
seeds, the stages before the algorithm and the algorithm itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preflab_builtin.report.claims import Decision
from preflab_builtin.report.differences import Difference, crossed_error, mean_squares
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

    draws, cases: of how many seeds, and prompts, questions or documents (0: not by these). seed:
    between seeds, of which upstream and algorithm are parts (None: cannot be told apart). prompt:
    between prompts; rest: what neither explains, such as one response to one prompt (None: within
    seed). unknown: what cannot be told apart, and why.
    """

    draws: int
    cases: int
    seed: float
    upstream: float | None
    algorithm: float | None
    prompt: float | None
    rest: float | None
    unknown: tuple[str, ...]

    def error(self, draws: int) -> tuple[float, float]:
        """Standard error of the mean difference with so many seeds and the same prompts, and its
        degrees of freedom (2 seeds or more)."""
        if self.prompt is None or self.rest is None:
            return math.sqrt(self.seed / draws), draws - 1
        expected = {
            "seed": self.rest + self.cases * self.seed,
            "prompt": self.rest + draws * self.prompt,
            "rest": self.rest,
        }
        return crossed_error(expected, draws, self.cases)

    def of_the_mean(self) -> dict[str, float]:
        """Variance of the mean difference by source, at the seeds there are."""
        if self.prompt is None or self.rest is None:
            return {"seeds": self.seed / self.draws}
        by_source = {
            "prompts": self.prompt / self.cases,
            "rest": self.rest / self.draws / self.cases,
        }
        if self.upstream is None or self.algorithm is None:
            return {"seeds": self.seed / self.draws, **by_source}
        parts = {"upstream": self.upstream / self.draws, "algorithm": self.algorithm / self.draws}
        return {**parts, **by_source}


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
    gaps, table = np.asarray(found.gaps.by_draw), np.asarray(found.gaps.by_case)
    draws, cases = len(gaps), table.shape[1] if table.size and table.shape[1] > 1 else 0
    seed, unknown = float(gaps.var(ddof=1)), list[str]()
    prompt = rest = None
    if cases:
        square = mean_squares(table)
        rest = square["rest"]
        seed = max(0.0, (square["seed"] - rest) / cases)
        prompt = max(0.0, (square["prompt"] - rest) / draws)
    else:
        unknown.append(NO_CASES)
    upstream = algorithm = None
    if len(set(upstream_of)) == 1:
        unknown.append(ONE_UPSTREAM)
    elif len(set(upstream_of)) == draws:
        unknown.append(ONE_ALGORITHM_SEED)
    else:
        between, within = nested(gaps.tolist(), upstream_of)
        upstream, algorithm = between, max(0.0, within - (rest or 0.0) / max(cases, 1))
    return Sources(draws, cases, seed, upstream, algorithm, prompt, rest, tuple(unknown))


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
