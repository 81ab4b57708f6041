"""Claims: a study declares sentences, and the intervals over its runs alone decide them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab.interfaces import Measure
from preflab.intervals import LEVEL
from preflab.storage.durable import json_number
from preflab.study import ClaimConfig, StudyConfig
from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.differences import difference, difference_from_curve
from preflab_builtin.report.runs import Draw, RunResult


class Verdict(StrEnum):
    """holds: the whole interval is beyond the margin, on the claimed side; fails: the whole
    interval is on the other side of the margin."""

    holds = "holds"
    fails = "fails"
    undecided = "undecided"


@dataclass(frozen=True)
class Decision:
    """A claim, and what decides it.

    estimate: the difference in the measure with its interval. Its n: how many prompts, questions or
    documents are paired; if none are, the fewest values of the measure in any run.
    seeds: all seeds in the estimate.
    why: what an undecided claim lacks, which seeds are left out, where a curve was read beyond its
    end.
    """

    name: str
    claim: ClaimConfig
    estimate: Measure | None
    seeds: tuple[int | str, ...]
    verdict: Verdict
    why: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether its estimate has an interval."""
        return self.estimate is not None and math.isfinite(self.estimate.low)


Named = Mapping[str, Sequence[Arm]]
"""Arms by name, words in order. A name of several arms identifies none of them."""


def named(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """The arms of a study by their labels and by the names that the study gave them."""
    by_name: dict[str, list[Arm]] = {}
    for arm in arms:
        names = [arm.label, *(run.arm for run in arm.runs)]
        for name in {in_order(name) for name in names if name}:
            by_name.setdefault(name, []).append(arm)
    return by_name


def decide(study: StudyConfig, arms: Sequence[Arm]) -> list[Decision]:
    """All claims of a study, by its own arms."""
    names = named(arms)
    return [_decide(name, claim, study.series, names) for name, claim in study.claims.items()]


def _decide(
    name: str, claim: ClaimConfig, series: Mapping[str, Sequence[str]], names: Named
) -> Decision:
    def undecided(why: str) -> Decision:
        return Decision(name, claim, None, (), Verdict.undecided, why)

    others = claim.frontier if claim.versus is None else [claim.versus]
    sides = [_members(word, series, names) for word in (claim.arm, *others)]
    words = list(dict.fromkeys(word for side in sides for word in side))
    absent = [word for word in words if in_order(word) not in names]
    if absent:
        return undecided(f"no finished run of the arm {', '.join(absent)}")
    for word in words:
        same_name = names[in_order(word)]
        if len(same_name) > 1:
            labels = "; ".join(arm.label for arm in same_name)
            return undecided(f"{len(same_name)} arms are called {word}: {labels}")
    by_draw, left_out = _by_draw({word: names[in_order(word)][0] for word in words}, claim)
    tables = {
        draw: [[runs[word] for word in side] for side in sides] for draw, runs in by_draw.items()
    }
    estimate, remarks = _estimate(claim, tables)
    seeds, why = tuple(draw.label for draw in by_draw), "; ".join([*left_out, *remarks])
    if estimate is None:
        return undecided(why or f"the runs do not measure {claim.measure}")
    if not math.isfinite(estimate.low):
        lacks = "one seed gives" if len(seeds) == 1 else "equal values give"
        why = "; ".join([f"{lacks} this measure no interval", *([why] if why else [])])
        return Decision(name, claim, estimate, seeds, Verdict.undecided, why)
    decided = verdict(estimate.low, estimate.high, claim.margin, claim.more)
    return Decision(name, claim, estimate, seeds, decided, why)


def _members(name: str, series: Mapping[str, Sequence[str]], names: Named) -> list[str]:
    """The arms that a word of a claim names: one, or those of a series."""
    return [name] if in_order(name) in names else list(series.get(name, [name]))


def _missing_measures(claim: ClaimConfig, run: RunResult) -> list[str]:
    """Measures that the claim needs and the run does not have; a curve needs those of the whole
    run."""
    if claim.frontier:
        return [measure for measure in (claim.measure, claim.at) if measure not in run.measures]
    return [] if claim.measure in run.measures or run.by_case(claim.measure) else [claim.measure]


def _by_draw(
    arms: Mapping[str, Arm], claim: ClaimConfig
) -> tuple[dict[Draw, dict[str, RunResult]], list[str]]:
    """Every draw of random numbers that all arms have, with the run of each arm; and which draws
    are left out, and why.

    A run whose stages have no seeds of their own is compared with all runs of its seed: they share
    its stages.
    """
    by_arm = {name: {run.draw: run for run in arm.runs} for name, arm in arms.items()}
    draws = sorted({draw for runs in by_arm.values() for draw in runs})
    complete: dict[Draw, dict[str, RunResult]] = {}
    left_out: list[str] = []
    for draw in draws:
        runs = {
            name: run
            for name, own in by_arm.items()
            if (run := own.get(draw) or own.get(Draw(draw.seed)))
        }
        absent = ", ".join(name for name in by_arm if name not in runs)
        missing = [
            f"no {measure} in {name}"
            for name, run in runs.items()
            for measure in _missing_measures(claim, run)
        ]
        shared = any(other.seed == draw.seed and other.pinned for other in draws)
        if not absent and not missing:
            complete[draw] = runs
        elif draw.pinned or not shared:
            reasons = [f"no run of {absent}"] * bool(absent) + [", ".join(missing)] * bool(missing)
            left_out.append(f"seed {draw.label} is left out: {' and '.join(reasons)}")
    return complete, left_out


def _estimate(
    claim: ClaimConfig, tables: Mapping[Draw, list[list[RunResult]]]
) -> tuple[Measure | None, list[str]]:
    """The difference over all draws, and what to know of it. tables: by draw, the runs of the
    claim's arm, then those of each other."""
    if claim.frontier:
        curves = {
            draw: (own[0], [run for side in others for run in side])
            for draw, (own, *others) in tables.items()
        }
        return difference_from_curve(claim.measure, claim.at, curves)
    pairs = [(sides[0], sides[1] if len(sides) > 1 else ()) for sides in tables.values()]
    return difference(claim.measure, pairs), []


def verdict(low: float, high: float, margin: float, more: bool) -> Verdict:
    """Whether a difference with this interval is above ``margin`` (more) or below ``-margin`` (not
    more).

    >>> verdict(0.1, 0.3, 0.0, True).value, verdict(0.1, 0.3, 0.2, True).value
    ('holds', 'undecided')
    >>> verdict(-0.3, -0.1, 0.0, True).value
    'fails'
    """
    if not more:
        low, high = -high, -low
    if low > margin:
        return Verdict.holds
    return Verdict.fails if high < margin else Verdict.undecided


def as_json(study: str, command: str, decisions: Sequence[Decision]) -> dict[str, Any]:
    """The claims as data: the contents of a study's `summary.json`."""
    claims = [
        {
            "name": d.name,
            "statement": d.claim.statement,
            "measure": d.claim.measure,
            "arm": d.claim.arm,
            "compared_with": d.claim.versus or d.claim.frontier or 0,
            "margin": d.claim.margin,
            "more": d.claim.more,
            "estimate": json_number(d.estimate.value) if d.estimate else None,
            "interval": [d.estimate.low, d.estimate.high]
            if d.estimate and d.has_interval
            else None,
            "n": d.estimate.n if d.estimate else 0,
            "seeds": list(d.seeds),
            "holds": d.verdict.value,
            "why": d.why,
        }
        for d in decisions
    ]
    return {"study": study, "command": command, "level": LEVEL, "claims": claims}
