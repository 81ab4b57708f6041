"""What it takes to decide each claim of a study: from its finished runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from preflab.intervals import LEVEL
from preflab.study import SeedsConfig, Verdict
from preflab_builtin.power.detecting import detectable, seeds_needed
from preflab_builtin.power.sources import Sources, sources
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.differences import by_seed
from preflab_builtin.report.looks import level_of
from preflab_builtin.report.report import Study
from preflab_builtin.report.runs import Draw, RunResult

HOUR = 3600.0
FAST = "made with debug=fast"
"""Why runs that mean nothing say nothing of seeds and hours."""


@dataclass(frozen=True)
class Outlook:
    """A claim, and what decides it with a power of 80 %.

    spread: standard deviation of the paired differences over seeds; detectable: the true difference
    from the margin that the seeds there are find; needed: seeds that find the difference that was
    measured (None: no number up to 1,000); hours_of_a_seed: to compute one more seed of the claim's
    arms, one job after the other; why: why there are no numbers, "" if there are.
    """

    decision: Decision
    sources: Sources | None = None
    spread: float = math.nan
    detectable: float = math.nan
    needed: int | None = None
    hours_of_a_seed: float = 0.0
    why: str = ""

    @property
    def seeds(self) -> int:
        """How many seeds there are; several draws of one seed are one, unless there is no other."""
        return self.sources.seeds if self.sources else len(self.decision.seeds)

    @property
    def missing(self) -> int | None:
        """How many more seeds it takes; None if no number is known."""
        return None if self.needed is None else max(0, self.needed - self.seeds)

    @property
    def hours(self) -> float | None:
        """What these cost."""
        return None if self.missing is None else self.missing * self.hours_of_a_seed


def outlooks(study: Study) -> list[Outlook]:
    """The outlook of every claim of a study."""
    return [outlook(decision, study.declared.seeds) for decision in study.decisions]


def outlook(decision: Decision, planned: SeedsConfig | None) -> Outlook:
    """The outlook of one claim. planned: the seeds that the study adds by itself, if it does: then
    the levels of its looks decide."""
    found, by_source = decision.difference, sources(decision)
    if found is None or by_source is None:
        one = "there is one seed: nothing says how much seeds differ"
        why = one if found is not None else decision.why
        return Outlook(decision, why=why)
    runs = {draw: list(by_arm.values()) for draw, by_arm in decision.draws.items()}
    if any(run.fast for own in runs.values() for run in own):
        return Outlook(decision, by_source, why=FAST)
    hours = seconds_of_a_seed(_of_seeds(runs)) / HOUR
    gaps = by_seed(found.gaps.by_draw, found.gaps.seeds).tolist()
    spread = math.sqrt(sum((d - found.value) ** 2 for d in gaps))
    spread /= math.sqrt(by_source.seeds - 1)
    if spread == 0:
        why = "all seeds give the same difference: nothing says how much it varies"
        return Outlook(decision, by_source, spread, hours_of_a_seed=hours, why=why)
    margin = decision.claim.margin if decision.claim.more else -decision.claim.margin
    level = levels(planned)
    return Outlook(
        decision,
        by_source,
        spread,
        detectable(*by_source.error(by_source.seeds), level(by_source.seeds)),
        seeds_needed(found.value - margin, by_source.error, level),
        hours,
    )


def levels(planned: SeedsConfig | None) -> Callable[[int], float]:
    """The level of the interval that decides with a number of seeds."""
    if planned is None or len(planned.looks) == 1:
        return lambda seeds: LEVEL
    looks = planned.looks

    def level(seeds: int) -> float:
        number = next((i for i, at in enumerate(looks) if seeds <= at), len(looks) - 1)
        return level_of(looks, number)

    return level


def _of_seeds(runs: Mapping[Draw, Sequence[RunResult]]) -> list[list[RunResult]]:
    """The runs of each seed, with all of its draws; of one seed alone, those of each draw."""
    if len({draw.seed for draw in runs}) == 1:
        return [list(own) for own in runs.values()]
    found: dict[int, list[RunResult]] = {}
    for draw, own in runs.items():
        found.setdefault(draw.seed, []).extend(own)
    return list(found.values())


def seconds_of_a_seed(runs: Sequence[Sequence[RunResult]]) -> float:
    """What one more seed costs, from what the artifacts of these runs [seeds, runs of each] cost:
    each once, without those that all seeds share, which further seeds share too."""
    costs = [{row.recipe: row.seconds for run in own for row in run.stages} for own in runs]
    shared = set(costs[0]).intersection(*costs[1:]) if len(costs) > 1 else set()
    once = {recipe: seconds for own in costs for recipe, seconds in own.items()}
    return sum(s for recipe, s in once.items() if recipe not in shared) / max(1, len(costs))


def seconds_of_all(runs: Iterable[RunResult]) -> float:
    """The same for all arms of a study."""
    by_draw: dict[Draw, list[RunResult]] = {}
    for run in runs:
        by_draw.setdefault(run.draw, []).append(run)
    return seconds_of_a_seed(_of_seeds(by_draw)) if by_draw else 0.0


def as_json(row: Outlook) -> dict[str, object]:
    """An outlook as data, in the unit of the measure."""
    found, by_source, d = row.decision.estimate, row.sources, row.decision
    facts: dict[str, object] = {
        "name": d.name,
        "statement": d.claim.statement,
        "measure": d.claim.measure,
        "verdict": d.verdict.value,
        "seeds": row.seeds,
        "difference": found.value if found else None,
        "why": row.why,
    }
    if by_source is None or math.isnan(row.detectable):
        return facts
    return facts | {
        "standard_deviation_over_seeds": row.spread,
        "variance": {
            "seeds": by_source.seed,
            "upstream": by_source.upstream,
            "algorithm": by_source.algorithm,
            "prompts": by_source.prompt,
            "rest": by_source.rest,
        },
        "people": d.difference.persons if d.difference else 0,
        "variance_of_the_mean": by_source.of_the_mean(),
        "prompts": by_source.cases or None,
        "cannot_be_told_apart": list(by_source.unknown),
        "detectable_difference": row.detectable,
        "seeds_needed": row.needed,
        "more_seeds": row.missing,
        "hours_of_a_seed": row.hours_of_a_seed,
        "more_hours": row.hours,
    }


def is_open(row: Outlook) -> bool:
    """Whether more seeds are asked for."""
    return row.decision.verdict is Verdict.undecided and not row.why
