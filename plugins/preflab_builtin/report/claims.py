"""Claims: a study declares sentences, and the intervals over its runs alone decide them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preflab.interfaces import Measure
from preflab.intervals import LEVEL
from preflab.storage.durable import json_number
from preflab.study import ClaimConfig, SeedsConfig, StudyConfig, Verdict
from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.differences import (
    Difference,
    difference,
    difference_from_curve,
)
from preflab_builtin.report.looks import holm, level_of, repeated_p
from preflab_builtin.report.opinions import (
    difference_from_curve_of_people,
    difference_of_people,
)
from preflab_builtin.report.runs import Draw, RunResult, seed_of


@dataclass(frozen=True)
class Decision:
    """A claim, and what decides it.

    estimate: the difference in the measure with its interval. Its n: how many prompts, questions or
    documents are paired; if none are, the fewest values of the measure in any run.
    seeds: all seeds in the estimate, with those of stages that differ.
    why: what a claim without a verdict lacks, which seeds are left out, where a curve was read
    beyond its end.
    for_looks: the same with the interval that is right at all looks together, if the study adds
    seeds until it is decided; then this one decides.
    p: of a difference that is exactly the margin, at all looks together; p_holm: corrected for the
    number of claims; both nan without an interval.
    difference, draws: what the estimate is of, and the runs behind it by draw and arm.
    """

    name: str
    claim: ClaimConfig
    estimate: Measure | None
    seeds: tuple[int | str, ...]
    verdict: Verdict
    why: str = ""
    for_looks: Measure | None = None
    p: float = math.nan
    p_holm: float = math.nan
    difference: Difference | None = None
    draws: Mapping[Draw, Mapping[str, RunResult]] = field(default_factory=dict)

    @property
    def has_interval(self) -> bool:
        """Whether its estimate has an interval."""
        return self.estimate is not None and math.isfinite(self.estimate.low)

    @property
    def number_of_seeds(self) -> int:
        """How many seeds there are; several draws of one seed are one."""
        return len({seed_of(label) for label in self.seeds})

    @property
    def after_holm(self) -> Verdict:
        """The verdict that is right for all claims of the study together."""
        sure = self.p_holm <= 1 - LEVEL  # of nan it is not
        decided = self.verdict in (Verdict.holds, Verdict.fails)
        return Verdict.undecided if decided and not sure else self.verdict


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
    names, look = named(arms), look_of(study.seeds, arms)
    decisions = [
        _decide(name, claim, study.series, names, look) for name, claim in study.claims.items()
    ]
    corrected = holm([decision.p for decision in decisions])
    return [replace(d, p_holm=p) for d, p in zip(decisions, corrected, strict=True)]


Look = tuple[tuple[int, ...], int]
"""How many seeds there are at each look of a study, and the number of the look, from 0."""


def look_of(seeds: SeedsConfig | None, arms: Sequence[Arm]) -> Look | None:
    """The look that a study is at; None if it has only one, or if its runs have other seeds than it
    plans. A seed that failed counts too."""
    found = {run.seed for arm in arms for run in arm.runs}
    if seeds is None or len(seeds.looks) == 1 or not found:
        return None
    have = max(found) - seeds.first + 1
    if min(found) < seeds.first or have > seeds.at_most:
        return None
    return seeds.looks, next(i for i, planned in enumerate(seeds.looks) if have <= planned)


def _decide(
    name: str,
    claim: ClaimConfig,
    series: Mapping[str, Sequence[str]],
    names: Named,
    look: Look | None,
) -> Decision:
    def unanswered(why: str) -> Decision:
        return Decision(name, claim, None, (), Verdict.unanswered, why)

    others = claim.frontier if claim.versus is None else [claim.versus]
    sides = [_members(word, series, names) for word in (claim.arm, *others)]
    words = list(dict.fromkeys(word for side in sides for word in side))
    absent = [word for word in words if in_order(word) not in names]
    if absent:
        return unanswered(f"no finished run of the arm {', '.join(absent)}")
    for word in words:
        same_name = names[in_order(word)]
        if len(same_name) > 1:
            labels = "; ".join(arm.label for arm in same_name)
            return unanswered(f"{len(same_name)} arms are called {word}: {labels}")
    by_draw, left_out = _by_draw({word: names[in_order(word)][0] for word in words}, claim)
    tables = {
        draw: [[runs[word] for word in side] for side in sides] for draw, runs in by_draw.items()
    }
    found, remarks = _estimate(claim, tables)
    seeds, why = tuple(draw.label for draw in by_draw), "; ".join([*left_out, *remarks])
    if found is None:
        return unanswered(why or f"the runs do not measure {claim.measure}")
    decision = Decision(
        *(name, claim, found.measure(), seeds, Verdict.undecided, why),
        difference=found,
        draws=by_draw,
    )
    if not decision.has_interval:
        lacks = "one seed gives" if len(seeds) == 1 else "equal values give"
        lacks = found.lacks or f"{lacks} this measure no interval"
        why = "; ".join([lacks, *([why] if why else [])])
        return replace(decision, why=why)
    return _with_verdict(decision, found, look)


def _with_verdict(decision: Decision, found: Difference, look: Look | None) -> Decision:
    """The decision with what its interval decides; of a study with several looks, the interval of
    this look."""
    claim = decision.claim
    p = found.p(claim.margin if claim.more else -claim.margin)
    decisive, for_looks = found.measure(), None
    if look is not None:
        decisive = for_looks = found.measure(level_of(*look))
        p = repeated_p(p, *look)
    decided = verdict(decisive.low, decisive.high, claim.margin, claim.more)
    return replace(decision, verdict=decided, for_looks=for_looks, p=p)


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
) -> tuple[Difference | None, list[str]]:
    """The difference over all draws, and what to know of it. tables: by draw, the runs of the
    claim's arm, then those of each other."""
    if claim.frontier:
        curves = {
            draw: (own[0], [run for side in others for run in side])
            for draw, (own, *others) in tables.items()
        }
        found, remarks = difference_from_curve(claim.measure, claim.at, curves)
        of_people = difference_from_curve_of_people(claim.measure, claim.at, curves)
        return of_people or found, remarks
    pairs = [(sides[0], sides[1] if len(sides) > 1 else ()) for sides in tables.values()]
    found = difference_of_people(claim.measure, pairs)
    return found or difference(claim.measure, pairs), []


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
            "interval_for_looks": [d.for_looks.low, d.for_looks.high] if d.for_looks else None,
            "p": json_number(d.p),
            "p_holm": json_number(d.p_holm),
            "n": d.estimate.n if d.estimate else 0,
            "people": d.difference.persons if d.difference else 0,
            "seeds": list(d.seeds),
            "holds": d.verdict.value,
            "holds_after_holm": d.after_holm.value,
            "why": d.why,
        }
        for d in decisions
    ]
    return {"study": study, "command": command, "level": LEVEL, "claims": claims}
