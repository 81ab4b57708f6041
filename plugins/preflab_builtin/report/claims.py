"""Claims decided from intervals alone: a study declares sentences, its runs say whether they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import stats

from preflab.study import ClaimConfig, StudyConfig
from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.runs import Draw, Measured, RunResult

LEVEL = 0.95


class Verdict(StrEnum):
    """holds: the whole interval is beyond the margin on the claimed side; fails: on the other side of it."""

    holds = "holds"
    fails = "fails"
    undecided = "undecided"


@dataclass(frozen=True)
class Decision:
    """A claim with what decides it. estimate: the difference in the measure, with its 95 % interval and the n behind it: prompts
    (questions, documents) where they are paired, else the fewest values of the measure in any run. seeds: those that are in the
    estimate, and no others. why: what an undecided claim lacks, which seeds are left out, and where a curve was read beyond
    its end."""

    name: str
    claim: ClaimConfig
    estimate: Measured | None
    seeds: tuple[int | str, ...]
    verdict: Verdict
    why: str = ""


Named = Mapping[str, Sequence[Arm]]
"""Arms by name, words in order; several: the name says no single arm."""


def named(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """The arms of a study by their labels and by the names that the study gave them."""
    found: dict[str, list[Arm]] = {}
    for arm in arms:
        for name in {
            in_order(name) for name in (arm.label, *(run.arm for run in arm.runs)) if name
        }:
            found.setdefault(name, []).append(arm)
    return found


def decide(study: StudyConfig, arms: Sequence[Arm]) -> list[Decision]:
    """All claims of a study, by its own arms."""
    names = named(arms)
    return [_decide(name, claim, study.series, names) for name, claim in study.claims.items()]


def _members(name: str, series: Mapping[str, Sequence[str]], names: Named) -> list[str]:
    """The arms that a claim's word stands for: one, or those of a series."""
    return [name] if in_order(name) in names else list(series.get(name, [name]))


def _decide(
    name: str, claim: ClaimConfig, series: Mapping[str, Sequence[str]], names: Named
) -> Decision:
    others = claim.frontier if claim.versus is None else [claim.versus]
    sides = [_members(word, series, names) for word in (claim.arm, *others)]
    wanted = list(dict.fromkeys(word for side in sides for word in side))
    absent = [word for word in wanted if in_order(word) not in names]
    if absent:
        return Decision(
            name,
            claim,
            None,
            (),
            Verdict.undecided,
            f"no finished run of the arm {', '.join(absent)}",
        )
    for word in wanted:
        several = names[in_order(word)]
        if len(several) > 1:
            why = (
                f"{len(several)} arms are called {word}: {'; '.join(arm.label for arm in several)}"
            )
            return Decision(name, claim, None, (), Verdict.undecided, why)
    found, left_out = _by_draw({word: names[in_order(word)][0] for word in wanted}, claim)
    tables = [[[runs[word] for word in side] for side in sides] for runs in found.values()]
    estimate, said = _estimate(claim, dict(zip(found, tables, strict=True)))
    seeds, why = tuple(draw.label for draw in found), "; ".join([*left_out, *said])
    if estimate is None:
        return Decision(
            name,
            claim,
            None,
            (),
            Verdict.undecided,
            why or f"the runs do not measure {claim.measure}",
        )
    if estimate.low is None or estimate.high is None:
        why = "; ".join(["one seed gives this measure no interval", *([why] if why else [])])
        return Decision(name, claim, estimate, seeds, Verdict.undecided, why)
    return Decision(
        name,
        claim,
        estimate,
        seeds,
        verdict(estimate.low, estimate.high, claim.margin, claim.more),
        why,
    )


def _lacks(claim: ClaimConfig, run: RunResult) -> list[str]:
    """Measures that the claim needs and the run does not have; a curve needs numbers of the whole run."""
    if claim.frontier:
        return [measure for measure in (claim.measure, claim.at) if measure not in run.measures]
    return [] if claim.measure in run.measures or run.by_case(claim.measure) else [claim.measure]


def _by_draw(
    arms: Mapping[str, Arm], claim: ClaimConfig
) -> tuple[dict[Draw, dict[str, RunResult]], list[str]]:
    """Each draw of random numbers that every arm has, with its run of every arm; and which are left out, and why. A run without
    seeds of its own for stages stands beside all runs of its seed: they share its stages."""
    by_arm = {name: {run.draw: run for run in arm.runs} for name, arm in arms.items()}
    draws = sorted({draw for runs in by_arm.values() for draw in runs})
    found: dict[Draw, dict[str, RunResult]] = {}
    left_out: list[str] = []
    for draw in draws:
        runs = {
            name: run
            for name, own in by_arm.items()
            if (run := own.get(draw) or own.get(Draw(draw.seed)))
        }
        missing = [name for name in by_arm if name not in runs]
        lacking = [
            f"{measure} in {name}" for name, run in runs.items() for measure in _lacks(claim, run)
        ]
        if missing or lacking:
            shared = not draw.pinned and any(
                other.seed == draw.seed and other.pinned for other in draws
            )
            if not shared:
                told = [f"no run of {', '.join(missing)}"] * bool(missing) + [
                    f"no {', no '.join(lacking)}"
                ] * bool(lacking)
                left_out.append(f"seed {draw.label} is left out: {' and '.join(told)}")
            continue
        found[draw] = runs
    return found, left_out


def _estimate(
    claim: ClaimConfig, tables: Mapping[Draw, list[list[RunResult]]]
) -> tuple[Measured | None, list[str]]:
    """The difference over all draws, and what to know of it. tables: the runs of the claim's arm, then those of each other."""
    if not claim.frontier:
        return _difference(
            claim.measure, [(t[0], t[1] if len(t) > 1 else ()) for t in tables.values()]
        ), []
    gaps, said = [], []
    for draw, (own, *others) in tables.items():
        gap, beyond = _beside_curve(claim, own[0], [run for side in others for run in side])
        gaps.append(gap)
        said += [f"seed {draw.label}: {beyond}"] if beyond else []
    return _counted(
        over_seeds(gaps),
        claim.measure,
        [run for t in tables.values() for side in t for run in side],
    ), said


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


_Side = Sequence[RunResult]
"""Runs of one seed whose mean is one side of a comparison; none: zero."""


def _difference(measure: str, pairs: Sequence[tuple[_Side, _Side]]) -> Measured | None:
    """Mean over seeds of the first's measure minus the second's: paired by prompt, question or document where there is a value
    of each."""
    by_case = [_gap_by_case(measure, *pair) for pair in pairs]
    runs = [run for a, b in pairs for run in (*a, *b)]
    if by_case and all(gaps and gaps.keys() == by_case[0].keys() for gaps in by_case):
        found: Measured | None = crossed([list(gaps.values()) for gaps in by_case])
    elif all(measure in run.measures for run in runs):
        values = [
            [[run.measures[measure].value for run in side] for side in pair] for pair in pairs
        ]
        found = _counted(over_seeds([_gap(a, b) for a, b in values]), measure, runs)
    else:
        return None
    if found is None or found.low is None or found.low != found.high:
        return found
    return _without_spread(found, measure, pairs)


def _without_spread(
    found: Measured, measure: str, pairs: Sequence[tuple[_Side, _Side]]
) -> Measured:
    """The same difference with an interval from those of the runs, where they have one: that nothing varies (all answers right on
    both sides, say) does not make it certain. Distances add up in squares (MOVER: Zou and Donner 2008), seeds are averaged."""
    ends = []
    for own, other in pairs:
        (below, above), (other_below, other_above) = (
            _distances(measure, own),
            _distances(measure, other),
        )
        ends.append((math.hypot(below, other_above), math.hypot(above, other_below)))
    low, high = (sum(distances) / len(ends) for distances in zip(*ends, strict=True))
    return replace(found, low=found.value - low, high=found.value + high)


def _distances(measure: str, side: _Side) -> tuple[float, float]:
    """From a measure's value to the ends of its interval, mean over runs; 0 for one without interval."""
    known = [run.measures[measure] for run in side if measure in run.measures]
    ends = [
        (m.value - m.low, m.high - m.value)
        for m in known
        if m.low is not None and m.high is not None
    ]
    return _gap([below for below, _ in ends] or [0.0], ()), _gap(
        [above for _, above in ends] or [0.0], ()
    )


def _counted(found: Measured | None, measure: str, runs: Sequence[RunResult]) -> Measured | None:
    """The same with the fewest values that any of the runs measured as its n."""
    known = [run.measures[measure].n for run in runs if measure in run.measures]
    return None if found is None else replace(found, n=min(known, default=0))


def _gap_by_case(measure: str, a: _Side, b: _Side) -> dict[str, float]:
    """Differences by case id, in its order; {} unless every run has a value for the same cases."""
    values = [run.by_case(measure) for run in (*a, *b)]
    if any(v.keys() != values[0].keys() for v in values):
        return {}
    return {
        p: _gap([v[p] for v in values[: len(a)]], [v[p] for v in values[len(a) :]])
        for p in sorted(values[0])
    }


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
    half = float(
        stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(differences, ddof=1) / math.sqrt(count)
    )
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
        square |= {
            "seed": p * float(((rows - mean) ** 2).sum()) / (s - 1),
            "rest": float((rest**2).sum()) / ((s - 1) * (p - 1)),
        }
        freedom |= {"seed": s - 1, "rest": (s - 1) * (p - 1)}
    total = square["prompt"] + square.get("seed", 0.0) - square.get("rest", 0.0)
    total = max(
        total, *square.values()
    )  # an estimated negative variance of seeds or prompts counts as none
    if p < 2 or total == 0:
        return Measured(mean, mean, mean, p) if total == 0 and p > 1 else Measured(mean, n=p)
    satterthwaite = total**2 / sum(square[k] ** 2 / freedom[k] for k in square)
    half = float(stats.t.ppf((1 + LEVEL) / 2, satterthwaite)) * math.sqrt(total / (s * p))
    return Measured(mean, mean - half, mean + half, p)


def _beside_curve(
    claim: ClaimConfig, own: RunResult, curve: Sequence[RunResult]
) -> tuple[float, str]:
    """The run's measure minus that of the curve at the run's value of ``claim.at``, linear between neighbours. Beyond the
    curve's ends its nearest end counts; then the text says so."""
    (x, y), *rest = [
        (run.measures[claim.at].value, run.measures[claim.measure].value) for run in (own, *curve)
    ]
    rest.sort()
    low, high = rest[0][0], rest[-1][0]
    beyond = f"{claim.at} {x:.3f} is outside the curve ({low:.3f} to {high:.3f}), whose nearest end counts"
    return y - float(
        np.interp(x, [a for a, _ in rest], [b for _, b in rest])
    ), "" if low <= x <= high else beyond


def as_json(study: str, command: str, decisions: Sequence[Decision]) -> dict[str, Any]:
    """The claims as data: what `summary.json` of a study holds."""
    claims = []
    for d in decisions:
        interval = (
            None
            if d.estimate is None or d.estimate.low is None
            else [d.estimate.low, d.estimate.high]
        )
        row: dict[str, Any] = {
            "name": d.name,
            "statement": d.claim.statement,
            "measure": d.claim.measure,
            "arm": d.claim.arm,
        }
        row |= {
            "compared_with": d.claim.versus or d.claim.frontier or 0,
            "margin": d.claim.margin,
            "more": d.claim.more,
        }
        estimate = None if d.estimate is None else d.estimate.value
        claims.append(
            {
                **row,
                "estimate": estimate,
                "interval": interval,
                "n": 0 if d.estimate is None else d.estimate.n,
            }
        )
        claims[-1] |= {"seeds": list(d.seeds), "holds": d.verdict.value, "why": d.why}
    return {"study": study, "command": command, "level": LEVEL, "claims": claims}
