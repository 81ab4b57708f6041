"""Claims decided from intervals alone: a study declares sentences, its runs say whether they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import stats

from preflab.study import ClaimConfig, StudyConfig
from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.runs import Measured, RunResult

LEVEL = 0.95


class Verdict(StrEnum):
    """holds: the whole interval is beyond the margin on the claimed side; fails: on the other side of it."""

    holds = "holds"
    fails = "fails"
    undecided = "undecided"


@dataclass(frozen=True)
class Decision:
    """A claim with what decides it. estimate: the difference in the measure, with its 95 % interval; n: prompts behind it (0:
    the measure has no value a prompt); why: what an undecided claim lacks, if it is not just a wide interval."""

    name: str
    claim: ClaimConfig
    estimate: Measured | None
    seeds: tuple[int, ...]
    verdict: Verdict
    why: str = ""


def decide(study: StudyConfig, arms: Sequence[Arm]) -> list[Decision]:
    """All claims of a study."""
    by_name = {in_order(arm.label): [arm] for arm in arms}
    by_name |= {in_order(run.arm): [arm] for arm in arms for run in arm.runs if run.arm}
    for name, members in study.series.items():
        if in_order(name) not in by_name and all(in_order(member) in by_name for member in members):
            by_name[in_order(name)] = [by_name[in_order(member)][0] for member in members]
    return [_decide(name, claim, by_name) for name, claim in study.claims.items()]


def _decide(name: str, claim: ClaimConfig, arms: Mapping[str, Sequence[Arm]]) -> Decision:
    others = claim.frontier if claim.versus is None else [claim.versus]
    absent = [arm for arm in (claim.arm, *others) if in_order(arm) not in arms]
    if absent:
        return Decision(name, claim, None, (), Verdict.undecided, f"no finished run of the arm {', '.join(absent)}")
    runs = [_by_seed(arms[in_order(arm)]) for arm in (claim.arm, *others)]
    seeds = sorted(set(runs[0]).intersection(*runs[1:]))
    if claim.frontier:
        points = [(runs[0][s][0], [other[s][0] for other in runs[1:]]) for s in seeds]
        found = over_seeds([d for own, curve in points if (d := _beside_curve(claim, own, curve)) is not None])
    else:
        found = _difference(claim.measure, [(runs[0][s], runs[1][s] if others else ()) for s in seeds])
    if found is None:
        return Decision(name, claim, None, tuple(seeds), Verdict.undecided, f"the runs do not measure {claim.measure}")
    if found.low is None or found.high is None:
        return Decision(name, claim, found, tuple(seeds), Verdict.undecided, "one seed gives this measure no interval")
    return Decision(name, claim, found, tuple(seeds), verdict(found.low, found.high, claim.margin, claim.more))


def verdict(low: float, high: float, margin: float, more: bool) -> Verdict:
    """Whether a difference with this interval is above ``margin`` (more) or below ``-margin`` (not more).

    >>> verdict(0.1, 0.3, 0.0, True).value, verdict(0.1, 0.3, 0.2, True).value, verdict(-0.3, -0.1, 0.0, True).value
    ('holds', 'undecided', 'fails')
    """
    if not more:
        low, high = -high, -low
    if low > margin:
        return Verdict.holds
    return Verdict.fails if high < margin else Verdict.undecided


def _by_seed(arms: Sequence[Arm]) -> dict[int, tuple[RunResult, ...]]:
    """Runs by seed, one an arm; seeds that not every arm has are left out."""
    runs = [{run.seed: run for run in arm.runs} for arm in arms]
    return {seed: tuple(found[seed] for found in runs) for seed in runs[0] if all(seed in found for found in runs)}


_Side = Sequence[RunResult]
"""Runs of one seed whose mean is one side of a comparison; none: zero."""


def _difference(measure: str, pairs: Sequence[tuple[_Side, _Side]]) -> Measured | None:
    """Mean over seeds of the first's measure minus the second's: paired by prompt where there is a value a prompt."""
    by_prompt = [_gap_by_prompt(measure, *pair) for pair in pairs]
    if by_prompt and all(gaps and gaps.keys() == by_prompt[0].keys() for gaps in by_prompt):
        return crossed([list(gaps.values()) for gaps in by_prompt])
    found = [([run.measures.get(measure) for run in a], [run.measures.get(measure) for run in b]) for a, b in pairs]
    return over_seeds([_gap([m.value for m in a if m], [m.value for m in b if m]) for a, b in found if all((*a, *b))])


def _gap_by_prompt(measure: str, a: _Side, b: _Side) -> dict[str, float]:
    """Differences by prompt id, in its order; {} unless every run has a value for the same prompts."""
    values = [run.by_prompt(measure) for run in (*a, *b)]
    if any(v.keys() != values[0].keys() for v in values):
        return {}
    return {p: _gap([v[p] for v in values[: len(a)]], [v[p] for v in values[len(a) :]]) for p in sorted(values[0])}


def _gap(a: Sequence[float], b: Sequence[float]) -> float:
    """Mean of a minus mean of b, which is zero if it is empty."""
    return sum(a) / len(a) - (sum(b) / len(b) if b else 0.0)


def over_seeds(differences: Sequence[float]) -> Measured | None:
    """Student's t over independent seeds; one seed has no interval."""
    count = len(differences)
    if count == 0:
        return None
    mean = sum(differences) / count
    if count == 1:
        return Measured(mean)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(differences, ddof=1) / math.sqrt(count))
    return Measured(mean, mean - half, mean + half)


def crossed(differences: Sequence[Sequence[float]]) -> Measured:
    """Mean of differences [S seeds, P prompts] in which every seed answers the same prompts, with an interval that is about
    other seeds and other prompts.

    Two-way random effects: Var(mean) = (MS_seed + MS_prompt - MS_rest) / (S P), Student's t with Satterthwaite's degrees
    of freedom (Cornfield and Tukey 1956). A bootstrap over three seeds would be far too narrow. One seed: over prompts.
    """
    table = np.asarray(differences, dtype=float)
    s, p = table.shape
    mean = float(table.mean())
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns[None, :] + mean
    square = {"prompt": s * float(((columns - mean) ** 2).sum()) / max(1, p - 1)}
    freedom = {"prompt": p - 1}
    if s > 1:
        square |= {"seed": p * float(((rows - mean) ** 2).sum()) / (s - 1), "rest": float((rest**2).sum()) / ((s - 1) * (p - 1))}
        freedom |= {"seed": s - 1, "rest": (s - 1) * (p - 1)}
    total = square["prompt"] + square.get("seed", 0.0) - square.get("rest", 0.0)
    total = max(total, *square.values())  # an estimated negative variance of seeds or prompts counts as none
    if p < 2 or total == 0:
        return Measured(mean, mean, mean, p) if total == 0 and p > 1 else Measured(mean, n=p)
    satterthwaite = total**2 / sum(square[k] ** 2 / freedom[k] for k in square)
    half = float(stats.t.ppf((1 + LEVEL) / 2, satterthwaite)) * math.sqrt(total / (s * p))
    return Measured(mean, mean - half, mean + half, p)


def _beside_curve(claim: ClaimConfig, own: RunResult, curve: Sequence[RunResult]) -> float | None:
    """The run's measure minus that of the curve at the run's value of ``claim.at``, linear between neighbours. Beyond the
    curve's ends its nearest end counts."""
    needed = [(run.measures.get(claim.at), run.measures.get(claim.measure)) for run in (own, *curve)]
    points = [(x.value, y.value) for x, y in needed if x is not None and y is not None]
    if len(points) < len(needed):
        return None
    (x, y), rest = points[0], sorted(points[1:])
    return y - float(np.interp(x, [a for a, _ in rest], [b for _, b in rest]))


def as_json(study: str, command: str, decisions: Sequence[Decision]) -> dict[str, Any]:
    """The claims as data: what `summary.json` of a study holds."""
    claims = []
    for d in decisions:
        interval = None if d.estimate is None or d.estimate.low is None else [d.estimate.low, d.estimate.high]
        row: dict[str, Any] = {"name": d.name, "statement": d.claim.statement, "measure": d.claim.measure, "arm": d.claim.arm}
        row |= {"compared_with": d.claim.versus or d.claim.frontier or 0, "margin": d.claim.margin, "more": d.claim.more}
        estimate = None if d.estimate is None else d.estimate.value
        claims.append({**row, "estimate": estimate, "interval": interval, "n": 0 if d.estimate is None else d.estimate.n})
        claims[-1] |= {"seeds": list(d.seeds), "holds": d.verdict.value, "why": d.why}
    return {"study": study, "command": command, "level": LEVEL, "claims": claims}
